"""Each rule by a table, all rules by a property: more facts never turn a decision into another."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.core.extents import Activations
from promote.core.facts import ExternalFile, Fact, HostFacts, ModelFacts, Target
from promote.core.matrix import bare_runtime
from promote.core.rules.engine import RULES, check
from promote.core.serving import Template, build_config
from promote.core.tensors import TensorSpec
from promote.core.verdict import Compatible, Incompatible, Outcome, Undecided, judge
from tests.unit.test_matrix import MATRIX


def fact(value, *, measured=True):
    return Fact(value, "test", measured=measured)


X = TensorSpec("x", "FLOAT", ("batch", 4))
Y = TensorSpec("y", "FLOAT", ("batch", 2))
MODEL = ModelFacts(
    format=fact("onnx"),
    ir_version=fact(10),
    opsets=fact({"": 21}),
    inputs=fact((X,)),
    outputs=fact((Y,)),
    dtypes=fact(frozenset({"FLOAT"})),
    weights_bytes=fact(2**30),
    external=fact(()),
    domains=fact(frozenset({""})),
)
PLAN = ModelFacts(
    format=fact("tensorrt"),
    weights_bytes=fact(2**30),
    dtypes=fact(frozenset({"FLOAT"})),
    arch=fact("x86_64"),
    tensorrt=fact("10.16.1.11"),
    compute_capability=fact("8.9"),
    os=fact("linux"),
)
HOST = HostFacts(
    device=fact("gpu"),
    arch=fact("x86_64"),
    triton=fact("26.05"),
    driver=fact("580.95.05"),
    gpu=fact("RTX 4090"),
    memory_bytes=fact(24 * 2**30),
    tensorrt=fact("10.16.1.11"),
)


def on(**host):
    return Target(
        name="t", host=dataclasses.replace(HOST, **{k: None if v is None else fact(v) for k, v in host.items()})
    )


def model(**facts):
    return dataclasses.replace(MODEL, **{k: None if v is None else fact(v) for k, v in facts.items()})


def plan(**facts):
    return dataclasses.replace(PLAN, **{k: None if v is None else fact(v) for k, v in facts.items()})


def answering(each, *names, unsized=0):
    """``each`` bytes for every one of a batch (or of what ``names`` say)."""
    return Activations(peaks=(((each, names or ("batch",)),),), tensors=10, unsized=unsized)


def said(rule, subject, target, **more):
    found = [f for f in check(subject, target, MATRIX, **more) if f.rule == rule]
    return sorted({f.outcome.value for f in found}), found


TABLE = [
    ("format", model(), on(), ["ok"]),
    ("format", model(format=None), on(), ["unknown"]),
    ("format", model(format="pickle"), on(), ["unknown"]),
    ("format", plan(), on(device="cpu"), ["broken"]),
    ("format", plan(), bare_runtime(MATRIX, "onnxruntime=1.20.1"), ["broken"]),
    ("onnx-opset", model(), on(), ["ok"]),
    ("onnx-opset", model(opsets={"": 26}), on(), ["broken"]),
    ("onnx-opset", model(opsets={"": 25}), on(), ["ok"]),
    ("onnx-opset", model(opsets={"": 22}), on(triton="24.12"), ["broken"]),
    ("onnx-opset", model(opsets={"": 5}), on(), ["degraded"]),
    ("onnx-opset", model(opsets={"ai.onnx.ml": 3}), on(), []),
    ("onnx-opset", model(), on(triton=None), ["unknown"]),
    ("onnx-opset", model(), on(triton="31.01"), ["unknown"]),
    ("onnx-ir", model(ir_version=14), on(), ["broken"]),
    ("onnx-ir", model(ir_version=13), on(), ["ok"]),
    ("onnx-ml-opset", model(opsets={"": 21, "ai.onnx.ml": 6}), on(), ["broken"]),
    ("onnx-domains", model(domains=frozenset({"com.microsoft"})), on(), ["degraded"]),
    ("onnx-domains", model(domains=frozenset({"my.ops"})), on(), ["unknown"]),
    ("onnx-domains", model(domains=frozenset({"ai.onnx.preview.training"})), on(), ["broken"]),
    ("external-data", model(external=(ExternalFile("w", 10, 10),)), on(), ["ok"]),
    ("external-data", model(external=(ExternalFile("w", 10, 9),)), on(), ["broken"]),
    ("external-data", model(external=(ExternalFile("w", 10, None),)), on(), ["broken"]),
    ("external-data", model(external=(ExternalFile("w", 10, 10, "a link"),)), on(), ["broken"]),
    ("io-types", model(inputs=(TensorSpec("x", "SEQUENCE", None),)), on(), ["broken"]),
    ("io-types", model(inputs=(TensorSpec("x", "BFLOAT16", ("b",)),)), on(triton="25.01"), ["broken"]),
    ("io-types", model(inputs=(TensorSpec("x", "BFLOAT16", ("b",)),)), on(), ["ok"]),
    ("plan-arch", plan(), on(), ["ok"]),
    ("plan-arch", plan(arch="aarch64"), on(), ["broken"]),
    ("plan-arch", plan(arch=None), on(), ["unknown"]),
    ("plan-version", plan(), on(), ["ok"]),
    ("plan-version", plan(tensorrt="10.16.1.12"), on(), ["broken"]),
    ("plan-version", plan(), on(tensorrt="10.16"), ["unknown"]),
    ("plan-gpu", plan(), on(), ["ok"]),
    ("plan-version", plan(tensorrt="10.15.1.29"), on(), ["unknown"]),
    ("plan-version", plan(tensorrt="10.15.1.29", version_compatible=False), on(), ["broken"]),
    ("plan-version", plan(tensorrt="10.15.1.29", version_compatible=True), on(), ["unknown"]),
    (
        "plan-version",
        plan(tensorrt="10.15.1.29", version_compatible=True),
        on(version_compatible_plans=False),
        ["broken"],
    ),
    ("plan-version", plan(tensorrt="10.15.1.29", version_compatible=True), on(version_compatible_plans=True), ["ok"]),
    ("plan-version", plan(tensorrt="9.3.0.1", version_compatible=True), on(version_compatible_plans=True), ["broken"]),
    ("plan-version", plan(version_compatible=True), on(tensorrt="10.15.1.29"), ["broken"]),
    ("plan-os", plan(), on(), ["ok"]),
    ("plan-os", plan(os="windows"), on(), ["broken"]),
    ("plan-os", plan(os="windows"), on(os="windows"), ["ok"]),
    ("plan-os", plan(os=None), on(), ["unknown"]),
    ("plan-os", plan(), on(triton=None), ["unknown"]),
    ("plan-gpu", plan(compute_capability="12.1"), on(), ["unknown"]),
    ("plan-gpu", plan(compute_capability="12.1", hardware_level="none"), on(), ["broken"]),
    ("plan-gpu", plan(compute_capability="8.0", hardware_level="same_compute_capability"), on(), ["broken"]),
    ("plan-gpu", plan(compute_capability="8.0", hardware_level="ampere_plus"), on(), ["ok"]),
    ("plan-gpu", plan(compute_capability="8.0", hardware_level="ampere_plus"), on(gpu="T4"), ["broken"]),
    ("plan-gpu", plan(compute_capability="8.0", hardware_level="ampere_plus"), on(gpu="Jetson AGX Orin"), ["unknown"]),
    ("plan-tensorrt-gpu", plan(), on(), ["ok"]),
    ("plan-tensorrt-gpu", plan(), on(gpu="V100"), ["broken"]),
    ("plan-tensorrt-gpu", plan(), on(gpu="V100", tensorrt="10.4.0.26"), ["ok"]),
    ("plan-tensorrt-gpu", plan(), on(gpu="RTX 5090", tensorrt="10.7.0.23"), ["broken"]),
    ("plan-tensorrt-gpu", plan(), on(gpu="GB10", tensorrt="10.15.1.29"), ["unknown"]),
    ("plan-tensorrt-gpu", plan(), on(tensorrt="8.6.1.6"), ["unknown"]),
    ("tensorrt-opset", model(), on(), []),
    ("tensorrt-opset", model(builder_flags=frozenset()), on(tensorrt="10.15.1.29"), ["ok"]),
    ("tensorrt-opset", model(builder_flags=frozenset()), on(tensorrt="10.1.0.27"), ["degraded"]),
    ("tensorrt-opset", model(builder_flags=frozenset()), on(tensorrt="10.9.0.34"), ["degraded"]),
    ("tensorrt-precision", model(builder_flags=frozenset({"fp16"})), on(), ["ok"]),
    ("tensorrt-precision", model(builder_flags=frozenset({"fp16"})), on(tensorrt="11.1.0.106"), ["degraded"]),
    ("tensorrt-precision", model(builder_flags=frozenset()), on(tensorrt="11.1.0.106"), []),
    ("memory-fit", model(), on(memory_used_bytes=2**30), ["ok"]),
    ("memory-fit", model(), on(memory_used_bytes=23 * 2**30), ["degraded"]),
    ("python-version", model(format="python", python="3.12"), on(), ["ok"]),
    ("python-version", model(format="python", python="3.10"), on(), ["degraded"]),
    ("python-version", model(format="python"), on(), ["unknown"]),
    ("python-version", model(), on(), []),
    ("triton-release", model(), on(), ["ok"]),
    ("triton-release", model(), on(triton="31.01"), ["unknown"]),
    ("driver-floor", model(), on(), ["ok"]),
    ("driver-floor", model(), on(driver="575.57.08"), ["broken"]),
    ("driver-floor", model(), on(driver="575.57.08", gpu="L4", cuda="13.0.2"), ["degraded"]),
    ("driver-floor", model(), on(driver="530.30.02", gpu="L4", cuda="13.0.2"), ["broken"]),
    ("driver-floor", model(), on(driver="575.57.08", gpu="RTX 6000 Ada", cuda="13.0.2"), ["unknown"]),
    ("driver-floor", model(), on(driver="575.57.08", gpu="Jetson AGX Orin", cuda="13.0.2"), ["degraded"]),
    ("driver-floor", model(), on(driver="575.57.08", gpu="RTX 5090", cuda="13.0.2"), ["broken"]),  # GeForce never
    ("driver-floor", model(), on(driver="575.57.08", gpu="GB10", cuda="13.0.2"), ["unknown"]),
    ("driver-floor", model(), on(driver=None), ["unknown"]),
    ("driver-floor", model(), on(device="cpu"), []),
    ("driver-floor", model(), on(driver="525.60.13", device=None), ["unknown"]),
    ("onnxruntime-gpu", model(), on(), ["ok"]),
    ("onnxruntime-gpu", model(), on(gpu="L4", triton="24.05"), ["ok"]),
    ("onnxruntime-gpu", model(), on(gpu="RTX 5090", triton="24.05"), ["degraded"]),
    ("onnxruntime-gpu", model(), on(gpu="GB10", arch="aarch64"), ["ok"]),
    ("onnxruntime-gpu", model(), on(gpu="T4"), ["ok"]),
    ("onnxruntime-gpu", model(), on(gpu="T4", arch="aarch64"), ["broken"]),
    ("onnxruntime-gpu", model(), on(gpu="V100", triton="25.01"), ["broken"]),
    ("onnxruntime-gpu", model(), on(triton="25.05"), []),
    ("onnxruntime-gpu", model(), on(gpu=None), []),
    ("onnxruntime-gpu", model(), on(device="cpu"), []),
    ("onnxruntime-gpu", plan(), on(), []),
    ("compute-capability", model(), on(gpu="V100", device=None), ["unknown"]),
    ("compute-capability", model(), on(), ["ok"]),
    ("compute-capability", model(), on(gpu="V100"), ["broken"]),
    ("compute-capability", model(), on(gpu="V100", triton="24.10"), ["ok"]),
    ("compute-capability", model(), on(gpu=None), ["unknown"]),
    ("memory-fit", model(), on(), ["ok"]),
    ("memory-fit", model(weights_bytes=13 * 2**30), on(), ["degraded"]),
    ("memory-fit", model(weights_bytes=25 * 2**30), on(), ["broken"]),
    ("memory-fit", model(), on(memory_bytes=None), ["unknown"]),
    ("memory-fit", model(activations=answering(2**28)), on(), ["ok"]),  # 8 * 256 MiB + 1 GiB of 24
    ("memory-fit", model(activations=answering(2**28)), on(memory_used_bytes=22 * 2**30), ["degraded"]),
    ("memory-fit", model(activations=answering(3 * 2**30)), on(), ["degraded"]),
    (
        "memory-fit",
        model(weights_bytes=13 * 2**30, activations=answering(2**20)),
        on(),
        ["ok"],
    ),  # without them: degraded
    ("memory-fit", model(weights_bytes=13 * 2**30, activations=answering(2**20, unsized=9)), on(), ["degraded"]),
    ("memory-fit", model(weights_bytes=13 * 2**30, activations=answering(2**20, "who")), on(), ["degraded"]),
    ("memory-fit", model(weights_bytes=13 * 2**30, activations=Activations((), 0, 0)), on(), ["degraded"]),
    ("memory-fit", model(weights_bytes=25 * 2**30, activations=answering(2**20)), on(), ["broken"]),
    ("dtypes", model(), on(), ["ok"]),
    ("dtypes", model(dtypes=frozenset({"BFLOAT16"})), on(), ["ok"]),
    ("dtypes", model(dtypes=frozenset({"BFLOAT16"})), on(gpu="T4"), ["degraded"]),
    ("dtypes", model(dtypes=frozenset({"FLOAT16"})), on(device="cpu"), ["degraded"]),
    ("dtypes", model(dtypes=frozenset({"FLOAT8E4M3FN"})), on(device="cpu"), ["unknown"]),
]


@pytest.mark.parametrize(("rule", "subject", "target", "outcomes"), TABLE)
def test_what_a_rule_says(rule, subject, target, outcomes):
    words, found = said(rule, subject, target)
    assert words == outcomes
    for finding in found:
        if finding.outcome is not Outcome.OK:
            assert finding.remedy
            assert finding.needs


def test_a_measured_fact_that_differs_from_the_declared_one_is_drift():
    measured = Fact("570.1", "nvidia-smi", measured=True, declared=Fact("580.95.05", "promote.toml"))
    target = Target(name="t", host=dataclasses.replace(HOST, driver=measured))
    words, found = said("drift", MODEL, target)
    assert words == ["degraded"]
    assert "580.95.05 was promote.toml" in found[0].needs


def test_every_rule_has_a_row_in_the_table_and_says_why_and_by_whom():
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))
    # below, or in test files of their own
    elsewhere = {"drift", "onnx-graph", "operators", "operators-placement", "probe-age"}
    assert set(ids) == {row[0] for row in TABLE} | elsewhere | set(CONFIG_IDS)
    for rule in RULES:
        assert rule.title
        assert rule.source
        assert len(rule.why) > 40


CONFIG_IDS = (
    "config-name",
    "config-batching",
    "config-tensors",
    "config-instances",
    "config-shapes",
    "config-batch-tensors",
    "config-queue",
    "config-sequence",
    "config-cache",
    "config-warmup",
    "config-ensemble",
    "ensemble-models",
    "config-complete",
    "config-parameters",
    "model-versions",
    "model-files",
    "label-files",
)


def config(target=None, **changes):
    made = build_config(Template(), target or on(), "m", 3, (X,), (Y,))
    for field, value in changes.items():
        setattr(made, field, value)
    return made


def config_said(made, target=None, subject=MODEL):
    findings = check(subject, target or on(), MATRIX, config=made, name="m", version=3)
    return {f.rule for f in findings if f.outcome is Outcome.BROKEN}, findings


def test_the_configuration_promote_builds_passes_every_rule():
    broken, findings = config_said(config())
    assert broken == set()
    assert {f.rule for f in findings} >= {"config-name", "config-batching", "config-tensors", "config-instances"}


def test_a_scalar_and_a_model_without_batch_axis_pass_too():
    scalar, fixed = TensorSpec("s", "INT64", ()), TensorSpec("y", "FLOAT", (2, "n"))
    subject = model(inputs=(scalar,), outputs=(fixed,))
    made = build_config(Template(), on(), "m", 3, (scalar,), (fixed,))
    broken, _ = config_said(made, subject=subject)
    assert made.max_batch_size == 0
    assert broken == {"config-shapes"}  # Triton cannot carry a scalar of a model that does not batch


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda c: setattr(c, "name", "other"), "config-name"),
        (lambda c: setattr(c, "backend", "python"), "config-name"),
        (lambda c: c.version_policy.specific.versions.__setitem__(0, 4), "config-name"),
        (lambda c: setattr(c, "max_batch_size", -1), "config-batching"),
        (lambda c: c.dynamic_batching.preferred_batch_size.append(99), "config-batching"),
        (lambda c: setattr(c.input[0], "name", "z"), "config-tensors"),
        (lambda c: setattr(c.output[0], "name", "z"), "config-tensors"),
        (lambda c: setattr(c.input[0], "data_type", 9), "config-tensors"),
        (lambda c: c.input[0].dims.append(7), "config-tensors"),
        (lambda c: c.input[0].dims.__setitem__(0, 5), "config-tensors"),
        (lambda c: c.input[0].dims.__setitem__(0, 0), "config-shapes"),
    ],
)
def test_a_spoiled_configuration_is_broken_by_the_rule_that_guards_it(spoil, rule):
    made = config()
    spoil(made)
    assert rule in config_said(made)[0]


def test_instances_on_a_device_the_target_lacks_are_broken():
    assert config_said(config(), on(device="cpu"))[0] == {"config-instances"}


def test_batching_needs_a_dynamic_first_axis_everywhere():
    subject = model(outputs=(TensorSpec("y", "FLOAT", (8, 2)),))
    assert "config-batching" in config_said(config(), subject=subject)[0]


def test_memory_is_worked_out_for_the_largest_batch_and_sequence_that_the_target_says():
    words = TensorSpec("x", "INT64", ("batch", "sequence"))
    subject = model(inputs=(words,), activations=answering(2**20, "batch", "sequence"))
    asked = dataclasses.replace(on(), max_batch_size=2, max_sequence=100)
    assert "activations of 200 MiB (batch 2, sequence 100)" in said("memory-fit", subject, asked)[1][0].has
    assert "activations of 4 GiB (batch 8, sequence 512)" in said("memory-fit", subject, on())[1][0].has


def test_each_instance_takes_the_memory_again():
    made = config()
    made.instance_group[0].count = 20
    assert said("memory-fit", model(activations=answering(2**25)), on(), config=made)[0] == ["degraded"]
    made.instance_group[0].count = 2
    assert said("memory-fit", model(activations=answering(2**25)), on(), config=made)[0] == ["ok"]


def decision(verdict):
    return {Compatible: "yes", Incompatible: "no", Undecided: "?"}[type(verdict)]


hosts = st.fixed_dictionaries(
    {
        "triton": st.sampled_from([None, "24.10", "24.12", "26.05", "31.01"]),
        "driver": st.sampled_from([None, "525.60.13", "575.1", "580.95.05"]),
        "gpu": st.sampled_from([None, "V100", "T4", "L4", "RTX 4090", "Voodoo 3"]),
        "device": st.sampled_from([None, "gpu", "cpu"]),
        "memory_bytes": st.sampled_from([None, 2**20, 2**40]),
    }
)
models = st.fixed_dictionaries(
    {
        "ir_version": st.sampled_from([None, 8, 11, 14]),
        "opsets": st.sampled_from([None, {"": 17}, {"": 22}, {"": 28}, {"": 17, "ai.onnx.ml": 9}]),
        "domains": st.sampled_from([None, frozenset({""}), frozenset({"x.y"})]),
        "external": st.sampled_from([None, (), (ExternalFile("w", 10, 9),)]),
        "weights_bytes": st.sampled_from([None, 2**10, 2**30]),
        "dtypes": st.sampled_from([None, frozenset({"FLOAT"}), frozenset({"BFLOAT16"})]),
    }
)


@given(models, hosts, st.sets(st.sampled_from([*"abcdefghijk"])))
@settings(max_examples=300, deadline=None)
def test_more_facts_never_flip_a_decision(facts, host, hidden):
    """Hiding facts may make a verdict undecided, never the opposite one."""
    names = dict(zip("abcdefghijk", [*facts, *host], strict=False))
    gone = {names[letter] for letter in hidden if letter in names}
    full = judge("m", "t", check(model(**facts), on(**host), MATRIX))
    less = judge(
        "m",
        "t",
        check(
            model(**{k: None if k in gone else v for k, v in facts.items()}),
            on(**{k: None if k in gone else v for k, v in host.items()}),
            MATRIX,
        ),
    )
    if decision(less) != "?":
        assert decision(full) == decision(less)


plan_hosts = st.fixed_dictionaries(
    {
        # Of this release the matrix does not know the TensorRT, so hiding the host's own leaves it unknown.
        "triton": st.just("24.10"),
        "tensorrt": st.sampled_from([None, "8.6.1.6", "10.7.0.23", "10.16", "10.16.1.11", "11.1.0.106"]),
        "gpu": st.sampled_from([None, "V100", "RTX 4090", "RTX 5090", "GB10", "Jetson AGX Orin"]),
        "version_compatible_plans": st.sampled_from([None, True, False]),
        "os": st.sampled_from([None, "windows"]),
        "memory_used_bytes": st.sampled_from([None, 2**20, 2**40]),
    }
)
plan_facts = st.fixed_dictionaries(
    {
        "tensorrt": st.sampled_from([None, "8.6.1.6", "10.7.0.23", "10.16.1.11"]),
        "version_compatible": st.sampled_from([None, True, False]),
        "hardware_level": st.sampled_from([None, "none", "ampere_plus", "same_compute_capability"]),
        "compute_capability": st.sampled_from([None, "7.5", "8.0", "8.9", "12.0"]),
        "os": st.sampled_from([None, "linux", "windows"]),
    }
)


@given(plan_facts, plan_hosts, st.sets(st.integers(0, 9)))
@settings(max_examples=300, deadline=None)
def test_more_facts_never_flip_a_decision_about_a_plan(facts, host, hidden):
    facts_less = {k: None if n in hidden else v for n, (k, v) in enumerate(facts.items())}
    # The release says these two where the host does not: leaving them out is saying something else, not less.
    host_less = {
        k: None if n + 5 in hidden and k not in ("os", "tensorrt") else v for n, (k, v) in enumerate(host.items())
    }
    full = judge("m", "t", check(plan(**facts), on(**host), MATRIX))
    less = judge("m", "t", check(plan(**facts_less), on(**host_less), MATRIX))
    if decision(less) != "?":
        assert decision(full) == decision(less)
