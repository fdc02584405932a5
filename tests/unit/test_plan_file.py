"""The header of a TensorRT plan, bare and behind a prefix; hostile files are refused by type."""

import json

import pytest

from promote.adapters.model_file import read_facts
from promote.adapters.plan_file import read_plan
from promote.errors import IntegrityError, NotFound

PLAN = b"ftrt" + bytes(20) + bytes([10, 16, 1, 11]) + bytes(100)


def prefixed(prefix, plan=PLAN, length=None):
    return (len(prefix) if length is None else length).to_bytes(4, "little") + prefix + plan


def write(tmp_path, data):
    file = tmp_path / "model.plan"
    file.write_bytes(data)
    return str(file)


@pytest.mark.parametrize(
    ("data", "producer"),
    [(PLAN, None), (prefixed(json.dumps({"version": "8.3.0"}).encode()), "ultralytics prefix: 8.3.0")],
)
def test_the_version_is_read_with_and_without_a_prefix(tmp_path, data, producer):
    facts = read_plan(write(tmp_path, data))
    assert (facts.format.value, facts.tensorrt.value) == ("tensorrt", "10.16.1.11")
    assert (facts.producer and facts.producer.value) == producer
    assert facts.compute_capability is None
    assert (facts.weights_bytes.value, facts.weights_bytes.source) == (len(PLAN), "size of model.plan")


@pytest.mark.parametrize("name", ["model.plan", "yolo.engine", "a-plan-by-another-name.bin"])
def test_a_plan_is_known_by_its_name_or_by_its_first_bytes(tmp_path, name):
    (tmp_path / name).write_bytes(PLAN)
    assert read_facts(str(tmp_path / name)).tensorrt.value == "10.16.1.11"
    (tmp_path / "yolo.engine").write_bytes(prefixed(b'{"version": "8.3.0"}'))
    assert read_facts(str(tmp_path / "yolo.engine")).producer.value == "ultralytics prefix: 8.3.0"


def test_a_plan_before_8_6_holds_no_version(tmp_path):
    assert read_plan(write(tmp_path, b"ftrt" + bytes(100))).tensorrt is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ft",
        PLAN[:30],
        b"onnx" + bytes(40),
        prefixed(b"{", length=2**31),
        prefixed(b"{nope"),
        prefixed(b"{}", b"")[:6],
        prefixed(b"{}", PLAN[:20]),
        prefixed(b"{}", b"else" + bytes(40)),
        prefixed(b'{"a":' * 50_000),
    ],
)
def test_what_is_no_whole_plan_is_refused(tmp_path, data):
    with pytest.raises(IntegrityError):
        read_plan(write(tmp_path, data))


def test_no_file_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        read_plan(str(tmp_path))
