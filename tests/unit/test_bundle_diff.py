"""What differs between two bundles, as values; and what the bytes to send come to when they are sent."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.adapters.oci.registry import open_registry
from promote.core.bundle_diff import Change, Side, differ
from promote.core.manifest import pack, read_manifest
from promote.core.model_config import parse_config
from promote.errors import IntegrityError
from promote.pipeline import side_of
from tests.fakes.registry import Steps, make_bundle

CONFIG = b'name: "ner" max_batch_size: 8 input { name: "x" dims: [-1, 4] } input { name: "m" dims: -1 }'
PASSPORT = {
    "facts": {
        "opsets": {"value": {"": 20}, "source": "model.onnx"},
        "dtypes": {"value": ["FLOAT", "INT64"], "source": "model.onnx"},
        "inputs": {"value": [{"name": "x", "dtype": "FLOAT", "shape": ["batch", 4]}], "source": "model.onnx"},
        "nodes": {"value": [{"op": "Mul"}], "source": "model.onnx"},
    },
    "verdict": "compatible",
    "target": {"name": "calypso"},
    "lineage": {"run_id": "4f2a", "metrics": {"f1": 0.93, "loss": 0.5}, "params": {"lr": "1e-4"}},
    "parity": {"differences": [{"max_absolute": 1e-6}, {"max_absolute": 2e-6}], "tolerance": {"absolute": 1e-4}},
}


def side(version=1, config=CONFIG, passport=PASSPORT, **files):
    bundle = make_bundle({"model.onnx": b"weights", **files}, version=version)
    stored = read_manifest(pack(bundle).manifest.data, "here/ner", "ner")
    told = passport if isinstance(passport, bytes) else json.dumps(passport).encode()
    return Side(stored, parse_config(config, "config.pbtxt"), told)


def changed(**more):
    return json.loads(json.dumps(PASSPORT)) | more


def test_a_bundle_does_not_differ_from_itself():
    found = differ(side(), side())
    assert (found.files, found.config, found.facts, found.to_send) == ((), (), (), 0)
    assert found.same == len(side().stored.files)
    assert found.shared > 0


def test_files_are_compared_whatever_the_version():
    found = differ(side(1, gone=b"1", kept=b"2", model=b"old"), side(2, new=b"3", kept=b"2", model=b"newer"))
    told = {
        file.path: (file.word, file.first and file.first.size, file.second and file.second.size) for file in found.files
    }
    assert told == {"N/gone": ("removed", 1, None), "N/model": ("changed", 3, 5), "N/new": ("added", None, 1)}
    assert found.same == 5  # the configuration, the model, two files of promote's own and the kept one


def test_fields_of_the_configuration_are_named():
    other = (
        CONFIG.replace(b"8", b"16").replace(b"dims: -1 }", b"dims: 7 }")
        + b"dynamic_batching { max_queue_delay_microseconds: 5 }"
    )
    assert differ(side(), side(config=other)).config == (
        Change("dynamic_batching.max_queue_delay_microseconds", "", "5"),
        Change("input[m].dims", "-1", "7"),
        Change("max_batch_size", "8", "16"),
    )


def test_facts_of_the_passports_are_named():
    facts = PASSPORT["facts"] | {
        "opsets": {"value": {"": 22}, "source": "elsewhere"},
        "dtypes": {"value": ["FLOAT16"], "source": "model.onnx"},
        "inputs": {"value": [{"name": "x", "dtype": "FLOAT", "shape": ["batch", 8]}], "source": "model.onnx"},
        "nodes": {"value": [{"op": "Add"}], "source": "model.onnx"},
    }
    lineage = {"run_id": "5b3c", "metrics": {"f1": 0.95, "loss": 0.5}, "params": {"lr": "1e-4"}}
    parity = {"differences": [{"max_absolute": 3e-6}], "tolerance": {"absolute": 1e-4}}
    other = changed(facts=facts, lineage=lineage, parity=parity)
    assert differ(side(), side(passport=other)).facts == (
        Change("dtypes", "FLOAT, INT64", "FLOAT16"),
        Change("inputs[x].shape", "batch, 4", "batch, 8"),
        Change("metrics.f1", "0.93", "0.95"),
        Change("opsets.", "20", "22"),
        Change("parity.max_absolute", "2e-06", "3e-06"),
        Change("run", "4f2a", "5b3c"),
    )


@pytest.mark.parametrize("passport", [b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_passport_that_is_none_is_told(passport):
    with pytest.raises(IntegrityError, match="passport"):
        differ(side(), side(passport=passport))


def test_a_bundle_without_a_passport_has_no_facts():
    assert all(change.second == "" for change in differ(side(), side(passport=b"")).facts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["facts", "lineage", "parity", "target", "verdict", "tools"]), json_values))
def test_any_json_in_a_passport_is_compared_without_a_fault(passport):
    there, back = differ(side(), side(passport=passport)), differ(side(passport=passport), side())
    assert there.facts == tuple(Change(c.name, c.second, c.first) for c in back.facts)
    assert differ(side(passport=passport), side(passport=passport)).facts == ()


def test_what_is_to_send_is_what_a_push_sends(tmp_path):
    registry, steps = open_registry(f"oci:{tmp_path}", env={}), Steps()
    weights = {f"part{n}.bin": bytes([n]) * 1000 for n in range(5)}
    first = registry.push(make_bundle({"model.onnx": b"one", **weights}), steps).stored
    second = registry.push(make_bundle({"model.onnx": b"two", **weights, "part0.bin": b"new"}, version=2), steps)
    found = differ(side_of(first, registry), side_of(second.stored, registry))
    assert found.to_send == second.sent
    assert found.shared == second.skipped
