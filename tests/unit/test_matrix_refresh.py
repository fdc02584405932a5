"""An image proposes rows: only what it tells, each with its source; what it does not tell is kept or null."""

import pytest
import yaml

from promote.core.matrix import parse
from promote.core.matrix_refresh import propose
from promote.errors import IntegrityError, NotFound
from tests.unit.test_matrix import MATRIX

IMAGE = "host/tritonserver:24.10-py3@sha256:" + "0" * 64
SOURCE = f"image config of {IMAGE}, read 2026-11-24"
ENV = [
    "PATH=/usr/bin", "CUDA_VERSION=12.6.2.004", "CUDA_DRIVER_VERSION=560.35.03", "TRT_VERSION=10.5.0.18",
    "TRITON_SERVER_VERSION=2.51.0", "NVIDIA_TRITON_SERVER_VERSION=24.10",
]  # fmt: skip


def of(*lines):
    return propose(lines, IMAGE, "2026-11-24", MATRIX)


def test_a_release_that_is_there_keeps_what_the_image_does_not_tell():
    found, there = of(*ENV), MATRIX.release("24.10")
    row = found.rows["triton_releases"]
    assert (row["onnxruntime"], row["python"]) == (there.onnxruntime, there.python)
    assert row["source"] == there.source
    assert row["tensorrt"] == {"version": "10.5.0.18", "source": SOURCE}
    assert found.differs["triton_releases.tensorrt"] == (None, "10.5.0.18")
    assert "triton_releases.server" not in found.differs
    assert found.untold == ("onnxruntime", "min_compute_capability", "python")
    assert "triton_releases" not in found.new


def test_a_new_release_has_null_where_the_image_is_silent_and_the_matrix_takes_the_row():
    found = of("NVIDIA_TRITON_SERVER_VERSION=27.01", "TRITON_SERVER_VERSION=2.77.0", "TRT_VERSION=12.0.0.1")
    row = found.rows["triton_releases"]
    assert found.new == ("triton_releases",)
    assert row == {
        "release": "27.01", "server": "2.77.0", "onnxruntime": None, "python": None, "min_compute_capability": None,
        "cuda": None, "tensorrt": {"version": "12.0.0.1", "source": SOURCE}, "source": SOURCE,
    }  # fmt: skip
    loaded = yaml.safe_load(found.yaml())
    assert loaded == {"triton_releases": [row]}
    tables = MATRIX.tables.model_dump(mode="json", by_alias=True)
    tables["triton_releases"] += loaded["triton_releases"]
    assert parse(yaml.safe_dump(tables), "new.yaml").release("27.01").tensorrt.version == "12.0.0.1"


def test_another_server_version_is_told_with_its_own_source():
    found = of(*ENV[:-2], "TRITON_SERVER_VERSION=2.51.1", ENV[-1])
    assert found.differs["triton_releases.server"] == ("2.51.0", "2.51.1")
    assert found.rows["triton_releases"]["source"] == f"{MATRIX.release('24.10').source}; server: {SOURCE}"


def test_the_driver_of_the_toolkit_is_a_row_only_where_it_says_something_new():
    assert "cuda_toolkit_drivers" not in of(*ENV).rows or MATRIX.toolkit_driver("12.6.2.004") is None
    other = of(*[line for line in ENV if "DRIVER" not in line], "CUDA_DRIVER_VERSION=1.2.3")
    assert other.rows["cuda_toolkit_drivers"]["driver"] == "1.2.3"


def test_what_is_no_image_of_a_triton_proposes_nothing():
    with pytest.raises(IntegrityError):
        of("PATH=/usr/bin")
    with pytest.raises(NotFound):
        of("TRITON_SERVER_VERSION=9.9.9")
    with pytest.raises(IntegrityError):
        of(*ENV[:-2], "TRITON_SERVER_VERSION=2.51; rm", ENV[-1])
