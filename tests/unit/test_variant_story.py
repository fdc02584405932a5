"""A version of several variants on parts in memory: made, reviewed as a whole, and one of them deployed."""

import json
from dataclasses import replace

import pytest

from promote.core.evidence import VERDICT_TYPE
from promote.core.facts import Fact, HostFacts
from promote.core.parity import ParityFailed
from promote.core.review import APPROVED, Approved, NotApproved, Review
from promote.core.stages import Promotion, Stored
from promote.core.standing import Kind as Drifted
from promote.core.variant_index import StoredIndex
from promote.core.variants import Kind
from promote.core.verdict import Incompatible, Undecided, judge
from promote.errors import InputError, IntegrityError, NotFound, Unavailable
from promote.pipeline import (
    Chosen,
    Prepared,
    choose,
    deploy,
    promote_further,
    review_model,
    rollback,
    standing,
    status,
    weigh,
)
from tests.fakes.world import DESK, GUARDED, candidate, fact, fail, in_memory

GPU = replace(
    DESK,
    name="box",
    host=HostFacts(**{key: Fact(value, "test") for key, value in {
        "device": "gpu", "arch": "x86_64", "triton": "26.05", "driver": "580.95.05", "gpu": "RTX 4090",
        "memory_bytes": 2**34,
    }.items()}),
)  # fmt: skip
T4 = replace(GPU, host=replace(GPU.host, gpu=Fact("T4", "nvidia-smi", measured=True)))  # which has no bf16
BOTH = ("fp16", "bf16")


@pytest.fixture
def bench():
    return in_memory()


def labels(promotion):
    return [variant.kind.label for variant in promotion.release.stored.variants]


def test_the_children_go_up_first_and_the_tag_names_the_index(bench):
    promotion = bench.promote(target=GPU, variants=BOTH)
    assert isinstance(promotion, Promotion)
    index = promotion.release.stored
    assert isinstance(index, StoredIndex)
    assert labels(promotion) == ["onnx-fp32", "onnx-bf16", "onnx-fp16"]
    asked = [line for line in bench.log if line.startswith(("exporter", "registry"))]
    assert asked[:7] == [
        "exporter.export", "exporter.lower", "exporter.lower", "registry.push", "registry.push", "registry.push",
        "registry.gather",
    ]  # fmt: skip
    tags = [reference for _, reference in bench.registry.manifests if not reference.startswith("sha256:")]
    assert tags == ["v1"]
    assert bench.ledger.versions_of["times"][1].digest == index.digest
    assert [digest for digest, _ in promotion.release.variants] == [index.variants[2].digest, index.variants[1].digest]


def test_each_variant_records_its_own_parity_and_what_was_not_measured(bench):
    promotion = bench.promote(target=GPU, variants=BOTH)
    told = {}
    for listed in promotion.release.stored.variants:
        stored = bench.registry.resolve("times", listed.digest)
        passport = stored.files[f"times/{stored.version}/promote/passport.json"]
        told[listed.kind.precision] = json.loads(bench.registry.read(stored, passport))
    assert {name: one["parity"]["tolerance"]["absolute"] for name, one in told.items()} == {
        "fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2,
    }  # fmt: skip
    assert "lowered" not in told["fp32"]
    assert told["fp16"]["lowered"] == {
        "made_of": promotion.release.bundle.files["times/1/model.onnx"].digest, "same": 3, "decisions": 3,
        "metric": "not measured: the run logged no evaluation samples", "run_as": "",
    }  # fmt: skip
    assert "rounded to bf16" in told["bf16"]["lowered"]["run_as"]
    assert told["fp16"]["plan"]["precision"] == "fp16"


def test_without_variants_nothing_is_as_it_was_not_before(bench):
    alone, other = bench.promote(), in_memory()
    both = other.promote(variants=("fp16",))
    assert isinstance(alone.release.stored, Stored)
    assert alone.release.variants == ()
    first = both.release.stored.variants[0]
    assert first.kind == Kind(format="onnx", precision="fp32")
    assert first.digest == alone.release.stored.digest  # the portable one is the very bundle that it is alone


def test_promoting_twice_is_resuming_and_a_further_variant_is_another_version(bench):
    first, again = bench.promote(variants=("fp16",)), bench.promote(variants=("fp16",))
    assert again.release.stored == first.release.stored
    assert again.release.sent == 0
    more = bench.promote(target=GPU, variants=BOTH)
    assert more.release.stored.version == 2
    assert bench.promote().release.stored.version == 3


def test_what_was_cut_off_before_the_index_has_no_name_and_is_taken_up_again(bench):
    bench.registry._part.gather = fail(Unavailable("registry is down"))
    with pytest.raises(Unavailable):
        bench.promote(variants=("fp16",))
    with pytest.raises(NotFound):
        bench.registry.find("times", "v1")
    del bench.registry._part.gather
    assert bench.promote(variants=("fp16",)).release.stored.version == 1


def test_a_variant_that_answers_otherwise_refuses_the_whole(bench):
    bench.exporter._part.off_lower = 0.5
    refused = bench.promote(variants=("fp16",))
    assert isinstance(refused, ParityFailed)
    assert refused.reasons[0].startswith("onnx-fp16: ")
    assert bench.untouched()


def test_a_variant_that_the_target_cannot_judge_refuses_the_whole(bench):
    assert isinstance(bench.promote(variants=("bf16",)), Undecided)  # most bf16 kernels are missing on a CPU
    assert bench.untouched()


def test_variants_are_made_of_fp32(bench):
    half = candidate("run-2", 2.0, facts=replace(bench.exporter.facts, precision=fact("fp16"), opsets=None))
    bench.runs.candidates["run-2"] = half
    with pytest.raises(InputError, match="weights of run run-2 are fp16"):
        bench.promote(2.0, variants=("fp16",))
    assert bench.untouched()


def test_a_dry_run_has_every_variant_and_writes_nothing(bench):
    prepared = bench.promote(variants=("fp16",), dry_run=True)
    assert isinstance(prepared, Prepared)
    assert bench.untouched()
    promotion = bench.promote(variants=("fp16",))
    assert [prepared.bundle, *prepared.variants] == [promotion.release.bundle, promotion.release.variants[0][1]]


# which one a host gets


def test_the_best_that_fits_the_host_as_it_is_measured_is_deployed_and_both_digests_are_kept(bench):
    promotion = bench.promote(target=DESK, variants=("fp16",))
    index = promotion.release.stored
    outcome = bench.deploy(1)
    assert (outcome.variant, outcome.cost) == ("onnx-fp32", "")  # fp16 fits a CPU too, and costs casts there
    assert outcome.live.digest == index.variants[0].digest
    assert outcome.live.release == outcome.live.promoted == index.digest
    assert bench.store.current("times") == outcome.live
    assert bench.ledger.desired("desk")["times"].digest == index.digest
    assert next(iter(status(DESK, bench).models)).drift == ()


def test_a_gpu_gets_the_precision_that_it_has_hardware_for(bench):
    index = bench.promote(target=GPU, variants=BOTH).release.stored
    bench.now = GPU
    outcome = bench.deploy(1, GPU)
    assert outcome.variant == "onnx-fp16"
    assert bench.registry.resolve("times", outcome.live.digest).version == 1
    assert index.of(outcome.live.digest).kind.precision == "fp16"


def test_what_is_measured_counts_and_not_what_was_declared(bench):
    bench.promote(target=GPU, variants=("bf16",))
    bench.now = T4
    assert bench.deploy(1, GPU).variant == "onnx-fp32"


def test_where_none_fits_nothing_is_fetched(bench):
    bench.promote(variants=("fp16",))
    bench.now = replace(DESK, host=replace(DESK.host, memory_bytes=Fact(1, "test", measured=True)))
    bench.log.clear()
    refused = bench.deploy(1)
    assert isinstance(refused, Incompatible)
    assert not {"registry.fetch", "examine"} & set(bench.log)


def test_another_variant_of_a_version_that_served_here_is_not_put_into_its_place(bench):
    bench.promote(target=GPU, variants=("bf16",))
    bench.now = GPU
    assert bench.deploy(1, GPU).variant == "onnx-bf16"
    bench.now = T4
    with pytest.raises(InputError, match="version 1 is here as"):
        bench.deploy(1, GPU)
    assert bench.answers() == {1: pytest.approx(2.0, abs=0.01)}


def test_a_rollback_goes_to_the_variant_that_served(bench):
    first = bench.promote(2.0, variants=("fp16",)).release.stored
    bench.promote(3.0)
    bench.deploy(1)
    bench.deploy(2)
    assert bench.store.current("times").release == ""
    back = rollback("times", DESK, "ada@desk", bench)
    assert (back.live.version, back.live.promoted) == (1, first.digest)
    assert bench.ledger.desired("desk")["times"].digest == first.digest
    drifts = next(iter(status(DESK, bench).models)).drift
    assert Drifted.NOT_DEPLOYED not in [drift.kind for drift in drifts]


# what people decide


def test_the_index_is_approved_as_a_whole_and_its_variant_serves(bench):
    index = bench.promote(target=GUARDED, variants=("fp16",)).release.stored
    assert isinstance(bench.deploy(1, GUARDED), NotApproved)
    yes = Review(state=APPROVED, by="ada", how="claimed", reason="fine")
    stored, review, outcome = review_model("times", "v1", GUARDED, yes, bench)
    assert (stored, review.digest, review.verdict) == (index, index.digest, "compatible")
    assert isinstance(outcome, Approved)
    assert bench.deploy(1, GUARDED).live.release == index.digest


def test_a_child_by_its_own_digest_is_not_what_was_approved(bench):
    index = bench.promote(target=GUARDED, variants=("fp16",)).release.stored
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada", how="claimed", reason="fine"), bench)
    child = index.variants[0].digest
    assert isinstance(deploy("times", child, GUARDED, "ada@desk", bench), NotApproved)


def test_an_index_with_one_more_variant_is_another_digest_that_nobody_approved(bench):
    index = bench.promote(target=GUARDED, variants=("fp16",)).release.stored
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada", how="claimed", reason="fine"), bench)
    children = [(v.kind, bench.registry.resolve("times", v.digest)) for v in index.variants]
    del bench.registry.manifests["times", "v1"]
    fewer = bench.registry.gather(children[:1])
    assert fewer.digest != index.digest
    assert isinstance(standing(fewer, GUARDED, bench), NotApproved)


def test_an_index_is_promoted_for_a_further_target(bench):
    index = bench.promote(variants=("fp16",)).release.stored
    further = replace(GUARDED, name="second")
    chosen = choose(index, further, bench)
    assert isinstance(chosen, Chosen)
    verdict = judge(index, further.name, ())
    assert promote_further(verdict, further, bench).review == "pending"
    told = bench.registry.referrers(index, VERDICT_TYPE)
    assert [r.annotations["io.promote.target"] for r in told] == ["second"]


# what comes back is hostile


def test_a_variant_that_is_not_what_its_index_says_is_refused(bench):
    bench.promote(target=GPU, variants=("fp16",))
    other = bench.promote(3.0, target=GPU, variants=("fp16",)).release.stored
    index = bench.registry.find("times", "v1")
    strange = replace(index, variants=(replace(index.variants[0], digest=other.variants[0].digest),))
    with pytest.raises(IntegrityError, match="another version"):
        weigh(strange, GPU, bench)


def test_an_index_says_plan_and_the_bundle_is_onnx(bench):
    from promote.core.variants import Binding

    index = bench.promote(variants=("fp16",)).release.stored
    bound = Binding(tensorrt="11.1.0.106", compute_capability="9.0", arch="x86_64")
    lie = replace(index.variants[0], kind=Kind(format="tensorrt", precision="fp16", binding=bound))
    with pytest.raises(IntegrityError, match="passport does not say so"):
        weigh(replace(index, variants=(lie,)), GPU, bench)
