"""What every finding says: the fact and where it was read, the row and its source, and what to do about it."""

import dataclasses

import pytest

from promote.cli.render import print_findings
from promote.core.facts import Fact
from promote.core.rules.engine import RULES, check
from promote.core.verdict import Outcome
from tests.unit.test_matrix import MATRIX
from tests.unit.test_rules import MODEL, TABLE, config, model, on, plan, said

CONFIGS = [
    lambda c: setattr(c, "name", "other"),
    lambda c: setattr(c, "backend", "python"),
    lambda c: setattr(c, "max_batch_size", -1),
    lambda c: setattr(c.input[0], "name", "z"),
    lambda c: setattr(c.output[0], "data_type", 9),
    lambda c: c.input[0].dims.append(7),
    lambda c: c.input[0].dims.__setitem__(0, 0),
    lambda c: c.instance_group[0].gpus.append(0) or setattr(c.instance_group[0], "kind", 2),
]


def walked():
    for rule, subject, target, _ in TABLE:
        yield from ((rule, finding) for finding in check(subject, target, MATRIX))
    for spoil in CONFIGS:
        made = config()
        spoil(made)
        yield from (("config", finding) for finding in check(MODEL, on(), MATRIX, config=made, name="m", version=3))


def test_whatever_does_not_pass_says_what_it_needs_what_to_do_and_by_whose_word():
    seen = set()
    for of, finding in walked():
        if finding.outcome is Outcome.OK:
            continue
        seen.add(finding.rule)
        assert finding.has, of
        assert finding.needs, (of, finding)
        assert finding.remedy, (of, finding)
        if finding.outcome is not Outcome.UNKNOWN:  # something was read, and something decided
            assert finding.has_source, finding
            assert finding.source, finding
        if finding.row:
            assert finding.source, finding
    assert len(seen) >= 25


def test_a_remedy_is_never_longer_than_what_is_printed_of_it():
    assert all(len(finding.remedy) <= 400 for _, finding in walked())
    assert all(rule.remedy for rule in RULES)


VALUES = [
    ("onnx-opset", model(opsets={"": 22}), on(triton="24.12"), "promote model RUN --opset 21"),
    ("driver-floor", model(), on(driver="575.57.08"), "install driver 580 or later on t, or use Triton 25.07,"),
    ("driver-floor", model(), on(driver="530.30.02", gpu="L4", cuda="13.0.2"), "install driver 580 or later"),
    ("compute-capability", model(), on(gpu="V100"), "use Triton "),
    ("plan-tensorrt-gpu", plan(), on(gpu="V100"), "use Triton 24.0"),
    ("plan-tensorrt-gpu", plan(), on(gpu="RTX 5090", tensorrt="10.7.0.23"), "whose TensorRT|has a TensorRT that knows"),
    ("plan-gpu", plan(compute_capability="12.1", hardware_level="none"), on(), "build the plan on the target"),
    ("dtypes", model(dtypes=frozenset({"BFLOAT16"})), on(gpu="T4"), "has fp32, fp16, int8"),
    ("dtypes", model(dtypes=frozenset({"FLOAT16"})), on(device="cpu"), "model.float()"),
    ("tensorrt-opset", model(builder_flags=frozenset()), on(tensorrt="10.1.0.27"), "promote model RUN --opset 20"),
    ("triton-release", model(), on(triton="31.01"), "promote matrix refresh --image IMAGE"),
    ("driver-floor", model(), on(driver=None), "promote target probe t"),
    ("driver-floor", model(), on(driver="570.1", gpu="Voodoo 3"), "promote matrix show gpus"),
]


@pytest.mark.parametrize(("rule", "subject", "target", "words"), VALUES)
def test_a_remedy_is_a_command_or_a_value_where_there_is_one(rule, subject, target, words):
    (finding,) = said(rule, subject, target)[1]
    assert any(word in finding.remedy for word in words.split("|")), finding.remedy


def test_the_release_that_a_remedy_names_lets_the_rule_pass():
    for rule, target in (("compute-capability", {"gpu": "V100"}), ("driver-floor", {"driver": "575.57.08"})):
        (finding,) = said(rule, MODEL, on(**target))[1]
        release = finding.remedy.split("Triton ")[1][:5]
        assert said(rule, MODEL, on(triton=release, **target))[0] == ["ok"], (rule, release)
        newer = [r.release for r in MATRIX.tables.triton_releases if r.release > release]
        assert newer
        assert all(said(rule, MODEL, on(triton=r, **target))[0] != ["ok"] for r in newer)


def test_a_version_of_low_confidence_is_said_to_be_so_also_when_the_rule_passes(capsys):
    (passes,) = said("onnx-opset", model(opsets={"": 17}), on(triton="24.08"))[1]
    assert (passes.outcome, passes.confidence) == (Outcome.OK, "low")  # NVIDIA's own pages disagree about 24.08
    print_findings((passes,), err=False)
    assert "confidence low" in capsys.readouterr().out
    (breaks,) = said("onnx-opset", model(opsets={"": 27}), on(triton="24.08"))[1]
    print_findings((breaks,), err=False)
    assert ", confidence low" in capsys.readouterr().out
    (sure,) = said("onnx-opset", model(opsets={"": 17}), on(triton="26.05"))[1]
    assert sure.confidence == "high"


def test_a_version_that_was_measured_is_sure_whatever_the_releases_row_says():
    host = dataclasses.replace(on(triton="24.08").host, onnxruntime=Fact("1.19.0", "measured", measured=True))
    (finding,) = said("onnx-opset", model(opsets={"": 17}), dataclasses.replace(on(), host=host))[1]
    assert finding.confidence == "high"
