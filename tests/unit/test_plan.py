"""Which opset and IR version promote exports to: that of the target's runtime, not of the packages installed here."""

import dataclasses

import pytest

from promote.core.facts import Fact, HostFacts, ModelFacts, Target
from promote.core.matrix import bare_runtime
from promote.core.plan import plan_export, plan_for_all
from promote.core.rules.engine import check
from promote.core.stages import Candidate, ExportPlan, Run, SourceModel
from promote.core.verdict import Incompatible, Outcome, Undecided
from promote.errors import InputError
from tests.unit.test_matrix import MATRIX


def candidate(flavour="transformers", precision=None):
    source = SourceModel(name="ner", flavour=flavour, root="", files={}, entry="model", digest="sha256:" + "0" * 64)
    return Candidate(Run(run_id="4f2a"), source, ModelFacts(precision=precision))


def container(release, **more):
    return Target(name="box", host=HostFacts(device=Fact("gpu", "test"), triton=Fact(release, "test")), **more)


@pytest.mark.parametrize(
    ("target", "opset", "ir_version"),
    [
        (MATRIX.target("calypso"), 22, 10),
        (container("23.12"), 19, 9),
        (container("24.10"), 21, 10),
        (container("24.12"), 21, 10),
        (container("25.05"), 22, 10),
        (container("26.08"), 22, 10),
        (bare_runtime(MATRIX, "onnxruntime=1.17.3"), 20, 9),
        (bare_runtime(MATRIX, "onnxruntime=1.20.1"), 21, 10),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_opset_and_ir_version_are_the_runtimes_or_the_exporters_own_whichever_is_lower(target, opset, ir_version):
    plan = plan_export(candidate(), target, MATRIX)
    assert (plan.opset, plan.ir_version) == (opset, ir_version)
    assert plan.format == "onnx"


@pytest.mark.parametrize("release", [r.release for r in MATRIX.tables.triton_releases if r.onnxruntime])
def test_what_is_planned_for_a_release_passes_its_rules(release):
    target = container(release)
    plan = plan_export(candidate(), target, MATRIX)
    model = ModelFacts(ir_version=Fact(plan.ir_version, "plan"), opsets=Fact({"": plan.opset}, "plan"))
    said = {f.rule: f.outcome for f in check(model, target, MATRIX)}
    assert (said["onnx-opset"], said["onnx-ir"]) == (Outcome.OK, Outcome.OK)


def test_every_choice_has_a_reason_that_names_the_row():
    plan = plan_export(candidate(), MATRIX.target("calypso"), MATRIX)
    assert plan.reasons == (
        "opset 22: onnxruntime 1.24.4 takes up to 25",
        "IR version 10: onnxruntime 1.24.4 takes up to 13",
    )


def test_a_runtime_known_only_by_its_neighbour_is_planned_for_and_says_so():
    plan = plan_export(candidate(), bare_runtime(MATRIX, "onnxruntime=1.20.0"), MATRIX)
    assert plan.opset == 21
    assert "onnxruntime 1.20.1, for want of one for 1.20.0" in plan.reasons[0]


@pytest.mark.parametrize("opset", [17, 22, 25])
def test_an_opset_asked_for_is_taken_where_exporter_and_target_allow_it(opset):
    plan = plan_export(candidate(), MATRIX.target("calypso"), MATRIX, opset=opset)
    assert plan.opset == opset
    assert plan.reasons[0] == f"opset {opset}: asked for"


@pytest.mark.parametrize("opset", [-1, 0, 16, 26, 99])
def test_an_opset_the_exporter_does_not_write_is_bad_input(opset):
    with pytest.raises(InputError, match=f"--opset {opset}: the exporter writes 17 to 25") as caught:
        plan_export(candidate(), container("24.12"), MATRIX, opset=opset)
    assert caught.value.hint == "leave it out: 21 is chosen for box"


def test_an_opset_too_high_for_the_target_is_incompatible_and_names_the_row():
    verdict = plan_export(candidate(), container("24.12"), MATRIX, opset=22)
    assert isinstance(verdict, Incompatible)
    (finding,) = verdict.findings
    assert (finding.rule, finding.outcome) == ("onnx-opset", Outcome.BROKEN)
    assert finding.has == "opset 22 (asked for)"
    assert finding.needs == "opset 21 or lower"
    assert finding.row == "onnxruntime 1.20.1"
    assert finding.source
    assert "21 or lower" in finding.remedy


def test_a_runtime_older_than_all_the_exporter_writes_is_incompatible():
    tables = MATRIX.tables
    old = tables.onnxruntime[0].model_copy(update={"version": "1.10.0", "max_opset": 15})
    matrix = type(MATRIX)(tables.model_copy(update={"onnxruntime": (old,)}), MATRIX.file, MATRIX.digest)
    verdict = plan_export(candidate(), bare_runtime(matrix, "onnxruntime=1.10.0"), matrix)
    assert isinstance(verdict, Incompatible)
    assert verdict.findings[0].has == "opset 17 (the lowest the exporter writes)"
    assert verdict.findings[0].needs == "opset 15 or lower"


@pytest.mark.parametrize(
    ("target", "has"),
    [
        (Target(name="box"), "the ONNX Runtime of box is not known"),
        (container("31.01"), "the ONNX Runtime of box is not known"),
        (container("26.10"), "the ONNX Runtime of box is not known"),
        (bare_runtime(MATRIX, "onnxruntime=9.9"), "onnxruntime 9.9 is not known"),
    ],
)
def test_an_unknown_runtime_leaves_it_undecided_and_says_what_to_set(target, has):
    verdict = plan_export(candidate(), target, MATRIX)
    assert isinstance(verdict, Undecided)
    (finding,) = verdict.findings
    assert (finding.outcome, finding.has) == (Outcome.UNKNOWN, has)
    assert f"targets.{target.name}." in finding.remedy


def test_an_onnx_model_is_passed_through_as_it_is():
    plan = plan_export(candidate("onnx"), Target(name="box", max_batch_size=3), MATRIX)
    assert plan == ExportPlan(opset=None, ir_version=None, max_batch_size=3, reasons=("ONNX as the run logged it",))


def test_an_opset_for_a_model_that_is_passed_through_is_bad_input():
    with pytest.raises(InputError, match="passed through as it is") as caught:
        plan_export(candidate("onnx"), MATRIX.target("calypso"), MATRIX, opset=17)
    assert "version_converter" in caught.value.hint


@pytest.mark.parametrize("flavour", ["transformers", "onnx"])
def test_the_declared_precision_and_the_targets_largest_batch_are_kept(flavour):
    plan = plan_export(candidate(flavour, Fact("fp16", "MLmodel")), container("25.05", max_batch_size=5), MATRIX)
    assert (plan.precision, plan.max_batch_size) == ("fp16", 5)


def test_what_was_ruled_out_is_said_with_why():
    plan = plan_export(candidate(), MATRIX.target("calypso"), MATRIX)
    assert plan.ruled_out == (
        "opset 23 to 25: only when asked for, see exporter torch",
        "precision fp16, bf16: the run's weights are fp32, and promote does not convert them",
        "format tensorrt: a plan is built on the target's own GPU",
    )
    older = plan_export(candidate(), container("24.12"), MATRIX)
    assert older.ruled_out[0] == "opset 22 and higher: onnxruntime 1.20.1 takes up to 21"


def test_one_plan_serves_several_targets_and_loads_in_each():
    targets = [container(release) for release in ("26.05", "24.12", "23.12")]
    targets = [dataclasses.replace(t, name=t.host.triton.value) for t in targets]
    shared = plan_for_all(candidate(), targets, MATRIX)
    assert (shared.plan.opset, shared.plan.ir_version) == (19, 9)
    assert shared.targets == ("26.05", "24.12", "23.12")
    assert shared.refused == {}
    model = ModelFacts(ir_version=Fact(9, "plan"), opsets=Fact({"": 19}, "plan"))
    for target in targets:
        said = {f.rule: f.outcome for f in check(model, target, MATRIX)}
        assert (said["onnx-opset"], said["onnx-ir"]) == (Outcome.OK, Outcome.OK)


def test_a_target_that_cannot_be_planned_for_does_not_spoil_the_others():
    shared = plan_for_all(
        candidate(), [container("26.05"), dataclasses.replace(container("31.01"), name="new")], MATRIX
    )
    assert shared.targets == ("box",)
    assert isinstance(shared.refused["new"], Undecided)
    assert plan_for_all(candidate(), [container("31.01")], MATRIX).plan is None


def test_a_target_that_rules_out_the_only_choice_there_is_is_refused_and_the_others_are_planned_for():
    def gpu(name, driver):
        facts = {"device": "gpu", "arch": "x86_64", "triton": "26.04", "gpu": "RTX 4090", "driver": driver}
        return Target(name=name, host=HostFacts(**{key: Fact(value, "test") for key, value in facts.items()}))

    shared = plan_for_all(candidate("onnx"), [gpu("late", "450.10"), gpu("new", "580.95")], MATRIX)
    assert shared.targets == ("new",)
    refused = shared.refused["late"]
    assert isinstance(refused, Incompatible)
    assert [finding.rule for finding in refused.findings] == ["driver-floor"]
    assert plan_for_all(candidate("onnx"), [gpu("late", "450.10")], MATRIX).variants == ()
