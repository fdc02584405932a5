"""compat_matrix.yaml: the shipped one holds, and a wrong one is refused by the path of its wrong field."""

from pathlib import Path

import pytest
import yaml

from promote.core.gpu_names import plain_name
from promote.core.matrix import bare_runtime, new_target, parse, with_settings
from promote.errors import InputError, NotFound

TEXT = (Path(__file__).resolve().parents[2] / "compat_matrix.yaml").read_text()
MATRIX = parse(TEXT, "compat_matrix.yaml")


def changed(*path, value):
    """The shipped matrix with one field changed; ``...`` removes it."""
    tables = yaml.safe_load(TEXT)
    at = tables
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return yaml.safe_dump(tables)


def test_every_row_of_the_shipped_matrix_has_a_source():
    def rows(value):
        if hasattr(value, "source"):
            yield value
        children = vars(value).values() if hasattr(value, "__dict__") else value if isinstance(value, tuple) else ()
        for child in children:
            yield from rows(child)

    found = list(rows(MATRIX.tables))
    assert len(found) > 150
    assert all(row.source.strip() for row in found)


def test_targets_are_completed_by_their_release():
    calypso = MATRIX.target("calypso")
    assert calypso.host.onnxruntime.value == "1.24.4"
    assert calypso.host.onnxruntime.source == "triton 26.04 of compat_matrix.yaml"
    assert calypso.host.cuda.value.startswith("13.")
    assert calypso.host.gpu is None
    assert calypso.host.driver is None
    assert calypso.review
    assert (calypso.http, calypso.grpc, calypso.model_repository) == (
        "calypso:8000",
        "calypso:8001",
        "/opt/triton/models",
    )
    assert MATRIX.complete(calypso) == calypso


def test_a_local_target_takes_nothing_from_the_container():
    local = MATRIX.target("local")
    assert local.local
    assert local.host.onnxruntime is None
    assert local.host.triton.value == "24.10"


def test_an_unknown_target_is_not_found_and_the_nearest_is_named():
    with pytest.raises(NotFound, match="no target 'calypo'") as caught:
        MATRIX.target("calypo")
    assert "did you mean calypso" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("targets", "calypso", "triton"), 26.04, "targets.calypso.triton: "),
        (("targets", "calypso", "http"), "calypso", "targets.calypso.http: expected host:port"),
        (("targets", "calypso", "colour"), "red", "targets.calypso.colour: unknown key"),
        (("onnxruntime", 3, "max_opset"), "many", "onnxruntime.3.max_opset: "),
        (("onnxruntime", 3, "source"), ..., "onnxruntime.3.source: "),
        (("gpus", 0, "compute_capability"), "twelve", "gpus.0.compute_capability: "),
        (("gpus",), ..., "gpus: "),
        (("schema",), 2, "schema: "),
        (("triton_releases", 1, "release"), "23.10", "triton_releases: two rows for 23.10"),
        (("targets", "Calypso!"), {"device": "cpu"}, "targets.Calypso!"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(path, value, told):
    with pytest.raises(InputError) as caught:
        parse(changed(*path, value=value), "/etc/matrix.yaml")
    assert caught.value.message.startswith(f"/etc/matrix.yaml: {told}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2\n", "line 2: repeated key 'a'"),
        ("a: &x 1\nb: *x\n", "line 1: anchors and aliases are refused"),
        ("a: [1, 2\n", "is no plain YAML"),
        ("[" * 40 + "]" * 40, "nested too deeply"),
        ("? [a]\n: 1\n", "a key that is no text"),
        ("!!python/object/apply:os.system ['true']\n", "is no plain YAML"),
        ("x" * (5 * 2**20), "the most allowed"),
        ("- 1\n- 2\n", "the file: "),
        ("", "the file: "),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text, told):
    with pytest.raises(InputError) as caught:
        parse(text, "m.yaml")
    assert told in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("rtx 4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("NVIDIAGeForceRTX5090", "RTX 5090"),
        ("RTX 4070TiSuper", "RTX 4070 Ti SUPER"),
        ("rtx4070ti", None),
        ("l4", "L4"),
        ("l 40 s", "L40S"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA GB10", "GB10"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 4070 Ti", None),
        ("RTX 6000", None),
        ("", None),
    ],
)
def test_gpus_are_found_by_the_names_people_and_nvidia_smi_use(name, found):
    gpu = MATRIX.gpu(name)
    assert (gpu.name if gpu else None) == found


def test_no_two_gpus_go_by_one_name():
    names = [plain_name(name) for gpu in MATRIX.tables.gpus for name in (gpu.name, *gpu.aliases)]
    assert "" not in names
    assert len(set(names)) == len(names)


def test_a_gpu_that_is_not_known_is_refused_with_those_it_may_have_been_meant_for():
    with pytest.raises(InputError, match="no GPU 'RTX 5091'") as caught:
        MATRIX.named_gpu("RTX 5091")
    assert caught.value.hint.startswith("did you mean RTX 5090 or ")
    with pytest.raises(InputError) as caught:
        MATRIX.named_gpu("\x1b[2J")
    assert caught.value.hint == "promote matrix show gpus lists them all"
    assert "\x1b" not in caught.value.message


def test_a_runtime_without_a_row_is_judged_by_the_newest_patch_release_and_says_so():
    row, label = MATRIX.onnxruntime("1.23.9")
    assert row.version == "1.23.2"
    assert "for want of one for 1.23.9" in label
    assert MATRIX.onnxruntime("1.99.0") is None


def test_settings_change_a_target_and_drop_what_the_former_release_fixed():
    target = MATRIX.complete(
        with_settings(MATRIX.target("calypso"), {"triton": "24.12", "gpu": "L4", "memory_gib": 24}, "promote.toml: t")
    )
    assert target.host.onnxruntime.value == "1.20.1"
    assert target.host.compute_capability.value == "8.9"
    assert target.host.memory_bytes.value == 24 * 2**30
    assert target.host.triton.source == "declared in promote.toml: t"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: with_settings(MATRIX.target("calypso"), {"trition": "26.04"}, "p"), "p: trition: unknown key"),
        (lambda: with_settings(MATRIX.target("calypso"), {"memory_gib": -1}, "p"), "p: memory_gib: "),
        (lambda: new_target("../etc", {"device": "cpu"}, "p"), "target name '../etc' is not allowed"),
        (lambda: new_target("edge", {}, "p"), "p: device: expected"),
        (lambda: bare_runtime(MATRIX, "tensorrt=10.1"), "expected onnxruntime=VERSION"),
        (lambda: bare_runtime(MATRIX, "onnxruntime"), "expected onnxruntime=VERSION"),
    ],
)
def test_wrong_settings_are_refused(make, told):
    with pytest.raises(InputError) as caught:
        make()
    assert told in caught.value.message
