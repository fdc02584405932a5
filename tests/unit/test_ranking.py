"""Which variant a host gets: by tables, and by properties of every set of variants on every host."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.core.passport import sha256
from promote.core.ranking import Variant, rank
from promote.core.rules.engine import check
from promote.core.variants import Binding, Kind
from promote.core.verdict import Compatible, Incompatible, Undecided, judge
from tests.unit.test_matrix import MATRIX
from tests.unit.test_rules import model, on, plan

CPU = {"device": "cpu", "gpu": None, "driver": None, "tensorrt": None}


def onnx(precision, **facts):
    types = {"fp32": {"FLOAT"}, "fp16": {"FLOAT", "FLOAT16"}, "bf16": {"FLOAT", "BFLOAT16"}}[precision]
    kind = Kind(format="onnx", precision=precision)
    told = model(dtypes=frozenset(types), **facts)
    size = {"fp32": 4000}.get(precision, 2000)
    return Variant(digest=sha256(kind.label.encode()), kind=kind, facts=told, size=size)


def engine(level="none", forward=False, **facts):
    told = plan(hardware_level=level, version_compatible=forward, **facts)
    bound = Binding(
        tensorrt=told.tensorrt.value, compute_capability=told.compute_capability.value, level=level,
        version_compatible=forward, os=told.os.value, arch=told.arch.value,
    )  # fmt: skip
    kind = Kind(format="tensorrt", precision="fp16", binding=bound)
    return Variant(digest=sha256(kind.label.encode()), kind=kind, facts=told, size=1500)


FP32, FP16, BF16, PLAN = onnx("fp32"), onnx("fp16"), onnx("bf16"), engine()
SPARK = engine(arch="aarch64", compute_capability="12.1")
NEWER = engine(tensorrt="11.1.0.106")
PLUS = engine(level="ampere_plus", compute_capability="8.0")
NAMES = {
    FP32.digest: "fp32", FP16.digest: "fp16", BF16.digest: "bf16", PLAN.digest: "plan", SPARK.digest: "spark",
    NEWER.digest: "newer", PLUS.digest: "plus",
}  # fmt: skip
ALL = (FP32, FP16, BF16, PLAN, SPARK, NEWER, PLUS)


def order(ranking):
    return [NAMES[one.variant.digest] for one in ranking.accepted], {
        NAMES[one.variant.digest]: one.why for one in ranking.rejected
    }


TABLE = [
    # variants, host, those that fit with the best first, of the others the rule that rules each out
    (ALL, on(), ["plan", "plus", "fp16", "bf16", "fp32"],
     {"spark": "plan-arch", "newer": "plan-version"}),
    ((FP32, FP16, BF16), on(), ["fp16", "bf16", "fp32"], {}),
    ((FP32, FP16, BF16, PLAN), on(gpu="T4"), ["fp16", "fp32", "bf16"], {"plan": "plan-gpu"}),
    ((FP32, PLUS), on(gpu="T4"), ["fp32"], {"plus": "plan-gpu"}),
    ((FP32, FP16, PLAN), on(**CPU), ["fp32", "fp16"], {"plan": "format"}),
    ((FP32, BF16), on(**CPU), ["fp32"], {"bf16": "dtypes"}),
    ((FP32, SPARK), on(arch="aarch64", gpu="GB10"), ["spark", "fp32"], {}),
    ((FP32, PLAN), on(tensorrt="10.9.0.34"), ["fp32"], {"plan": "plan-version"}),
    ((FP32, PLAN), on(driver="470.57"), [], {"fp32": "driver-floor", "plan": "driver-floor"}),
    ((FP32, PLAN), on(driver=None), [], {"fp32": "driver-floor", "plan": "driver-floor"}),
    ((FP32,), on(), ["fp32"], {}),
]  # fmt: skip


@pytest.mark.parametrize(("variants", "target", "best_first", "ruled_out"), TABLE)
def test_the_best_that_fits_is_taken_and_each_other_is_told_why_not(variants, target, best_first, ruled_out):
    accepted, rejected = order(rank(variants, target, MATRIX))
    assert accepted == best_first
    assert rejected.keys() == ruled_out.keys()
    for name, rule in ruled_out.items():
        assert f"{rule}: " in rejected[name]


def test_falling_back_says_what_it_costs():
    ranking = rank((FP32, FP16, PLAN), on(gpu="T4", tensorrt="10.9.0.34"), MATRIX)
    assert ranking.chosen.variant == FP16
    assert ranking.cost == (
        f"onnx-fp16 instead of {PLAN.kind.label}: without kernels tuned for one GPU, and 2,000 bytes instead of 1,500"
    )
    assert rank((FP32, PLAN), on(), MATRIX).cost == ""
    assert "without the hardware's bf16, and 4,000 bytes instead of 2,000" in rank(
        (FP32, BF16), on(**CPU), MATRIX
    ).cost  # fmt: skip


def test_where_none_fits_the_last_to_be_ruled_out_says_why():
    broken = rank((FP32, PLAN), on(driver="470.57"), MATRIX)
    assert broken.chosen is None
    assert isinstance(broken.refusal, Incompatible)
    assert broken.refusal.findings == broken.rejected[-1].verdict.findings
    assert broken.rejected[-1].variant == FP32
    assert isinstance(rank((FP32, PLAN), on(driver=None), MATRIX).refusal, Undecided)
    assert isinstance(rank((SPARK, NEWER), on(), MATRIX).refusal, Incompatible)


HOSTS = st.builds(
    on,
    gpu=st.sampled_from([None, "T4", "L4", "RTX 4090", "RTX 5090", "H100"]),
    driver=st.sampled_from([None, "470.57", "580.95.05"]),
    arch=st.sampled_from([None, "x86_64", "aarch64"]),
    device=st.sampled_from([None, "gpu", "cpu"]),
    triton=st.sampled_from([None, "24.12", "26.05", "26.07"]),
    tensorrt=st.sampled_from([None, "10.16.1.11", "11.1.0.106"]),
    memory_bytes=st.sampled_from([None, 2**20, 24 * 2**30]),
)
SETS = st.lists(st.sampled_from(ALL), unique_by=lambda v: v.digest, max_size=len(ALL))


def together(variants, more):
    return list({v.digest: v for v in (*variants, more)}.values())


def place(ranking):
    """How good the choice is: the same order for every set; worse than all where nothing fits."""
    best = ranking.chosen
    if best is None:
        return (True, len(ALL))
    whole = ["plan", "plus", "fp16", "bf16", "fp32"]
    name = NAMES[best.variant.digest]
    return best.verdict.word == "degraded", whole.index(name) if name in whole else 0


@given(SETS, st.sampled_from(ALL), HOSTS)
@settings(max_examples=60, deadline=None)
def test_a_further_variant_never_makes_the_choice_worse(variants, more, target):
    before, after = rank(variants, target, MATRIX), rank(together(variants, more), target, MATRIX)
    assert place(after) <= place(before)
    if after.chosen and after.chosen.variant != more:
        assert before.chosen
        assert after.chosen.variant == before.chosen.variant


@given(SETS, HOSTS)
@settings(max_examples=60, deadline=None)
def test_what_does_not_fit_is_never_chosen_and_all_are_told_of(variants, target):
    ranking = rank(variants, target, MATRIX)
    for one in (*ranking.accepted, *ranking.rejected):
        alone = judge(one.variant, "t", check(one.variant.facts, target, MATRIX))
        assert one.verdict == alone
        assert isinstance(alone, Compatible) is (one in ranking.accepted)
        assert one.accepted or one.why
    assert {one.variant.digest for one in (*ranking.accepted, *ranking.rejected)} == {v.digest for v in variants}


@given(SETS, HOSTS, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_in_which_they_come_changes_nothing(variants, target, chance):
    mixed = list(variants)
    chance.shuffle(mixed)
    assert rank(mixed, target, MATRIX) == rank(variants, target, MATRIX)


@given(SETS, HOSTS)
@settings(max_examples=60, deadline=None)
def test_portable_onnx_is_the_last_resort_and_always_is_one(variants, target):
    """It is taken only where all that is better costs something or does not fit, and then whenever it fits."""
    ranking = rank(together(variants, FP32), target, MATRIX)
    portable = next(w for w in (*ranking.accepted, *ranking.rejected) if w.variant == FP32)
    if not portable.accepted:
        return
    behind = itertools.dropwhile(lambda one: one.variant != FP32, ranking.accepted)
    assert all(one.verdict.word == "degraded" for one in list(behind)[1:])
    assert ranking.chosen is not None


def test_a_fact_that_is_not_known_chooses_nothing():
    hollow = dataclasses.replace(FP32, facts=dataclasses.replace(FP32.facts, opsets=None))
    ranking = rank((hollow,), on(), MATRIX)
    assert ranking.chosen is None
    assert isinstance(ranking.refusal, Undecided)
