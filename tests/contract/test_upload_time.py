"""A registry that ends uploads after ten minutes, as GHCR: what would not arrive is refused before the first byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from promote.adapters.oci.registry import open_registry
from promote.core.matrix_rows import RegistryLimits
from promote.core.stages import Blob
from promote.errors import InputError, Unavailable
from promote.ports import Registry
from tests.fakes.quirk_registry import GHCR, Limits, QuirkRegistry
from tests.fakes.registry import Steps, make_bundle, on_disk

MIB = 2**20


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.onnx"
    path.write_bytes(os.urandom(9 * MIB))
    return path


def client(quirk: QuirkRegistry, seconds: int) -> Registry:
    row = RegistryLimits(host=quirk.host, upload_seconds=seconds, source="tests")
    return open_registry(f"http://{quirk.host}/q", env={}, limits=[row])


def test_a_file_that_would_not_arrive_in_time_is_refused_with_the_rate(weights: Path) -> None:
    """9 MiB at about 4 MiB/s take 2 seconds and more; 1 is given."""
    with QuirkRegistry(Limits(rate=4 * MIB)) as quirk:
        with pytest.raises(Unavailable) as refused:
            client(quirk, 1).push(make_bundle({"model.onnx": on_disk(weights)}), Steps())
        assert "ner/1/model.onnx has 9,437,184 bytes: about 0 minutes at the " in refused.value.message
        assert f"MB/s measured to {quirk.host}, where an upload ends after 0" in refused.value.message
        assert "no file was sent" in refused.value.hint
        assert refused.value.exit_code == 5
        assert not quirk.blobs
        assert not quirk.uploads  # the sample was cancelled


def test_its_twin_on_a_faster_line_arrives(weights: Path) -> None:
    with QuirkRegistry() as quirk:
        client(quirk, 30).push(make_bundle({"model.onnx": on_disk(weights)}), Steps())
        assert "PATCH" in {method for method, _ in quirk.requests}
        assert weights.read_bytes() in quirk.blobs.values()


def test_files_that_share_a_line_too_narrow_for_all_travel_one_after_the_other(tmp_path: Path) -> None:
    """Six of 2 MiB on connections of 8 MiB/s each: by the rate of one, two of them fit into the second that is given."""
    names = [tmp_path / f"part{n}" for n in range(6)]
    for name in names:
        name.write_bytes(os.urandom(2 * MIB))
    bundle = make_bundle({name.name: on_disk(name) for name in names})
    with QuirkRegistry(Limits(rate=8 * MIB)) as quirk:
        client(quirk, 1).push(bundle, Steps())
        assert quirk.most_at_once <= 3
    with QuirkRegistry(Limits(rate=8 * MIB)) as quirk:
        open_registry(f"http://{quirk.host}/q", env={}).push(bundle, Steps())
        assert quirk.most_at_once > 3


def test_a_file_one_byte_beyond_10_gb_is_refused_before_an_upload_begins() -> None:
    """By GHCR's own row; its size is known, so that none of its bytes is read."""
    matrix = yaml.safe_load((Path(__file__).resolve().parents[2] / "compat_matrix.yaml").read_text())
    row = next(row for row in matrix["registries"] if row["host"] == "ghcr.io")
    with QuirkRegistry(GHCR) as quirk:
        registry = open_registry(
            f"http://{quirk.host}/q", env={}, limits=[RegistryLimits.model_validate(row | {"host": quirk.host})]
        )
        huge = Blob(f"sha256:{'0' * 64}", 10**10 + 1, "/nowhere/weights.data")
        with pytest.raises(
            InputError, match=r"weights.data has 10,000,000,001 bytes, \S+ takes 10,000,000,000 at most"
        ):
            registry.push(make_bundle({"weights.data": huge}), Steps())
        assert not [method for method, _ in quirk.requests if method not in ("GET", "HEAD")]


def test_small_files_are_not_measured_for(weights: Path) -> None:
    with QuirkRegistry(GHCR) as quirk:
        client(quirk, 600).push(make_bundle({"model.onnx": on_disk(weights)}), Steps())
        assert "PATCH" not in {method for method, _ in quirk.requests}


def test_a_file_that_is_there_already_is_not_measured_for(weights: Path) -> None:
    with QuirkRegistry(Limits(rate=64 * MIB)) as quirk:
        bundle = make_bundle({"model.onnx": on_disk(weights)})
        client(quirk, 600).push(bundle, Steps())
        before = len(quirk.requests)
        client(quirk, 1).push(bundle, Steps())
        assert {method for method, _ in quirk.requests[before:]} <= {"GET", "HEAD"}


@pytest.mark.parametrize("mounts", [True, False])
def test_a_file_that_another_repository_has_is_mounted_and_not_measured_for(
    weights: Path, tmp_path: Path, mounts: bool
) -> None:
    with QuirkRegistry() as quirk:
        row = RegistryLimits(host=quirk.host, upload_seconds=30, source="tests")

        def methods(name: str) -> set[str]:
            before = len(quirk.requests)
            known = tmp_path if mounts else None
            registry = open_registry(f"http://{quirk.host}/q", env={}, limits=[row], mounts=known)
            registry.push(make_bundle({"model.onnx": on_disk(weights)}, name=name), Steps())
            return {method for method, _ in quirk.requests[before:]}

        assert "PATCH" in methods("ner")
        assert ("PATCH" in methods("pos")) is not mounts
        assert weights.read_bytes() in [data for (name, _), data in quirk.blobs.items() if name == "q/pos"]


def test_a_registry_that_takes_no_sample_is_pushed_to(weights: Path) -> None:
    with QuirkRegistry(Limits(chunks=False)) as quirk:
        client(quirk, 1).push(make_bundle({"model.onnx": on_disk(weights)}), Steps())
        assert weights.read_bytes() in quirk.blobs.values()


@pytest.mark.slow
def test_an_upload_that_outlasts_the_time_ends_in_words_and_not_in_a_wait(weights: Path) -> None:
    """The rate fell after it was measured: each try ends with the registry's own limit."""
    with QuirkRegistry(Limits(rate=4 * MIB, upload_seconds=0.5, keeps=False)) as quirk:
        with pytest.raises(Unavailable, match="broke"):
            open_registry(f"http://{quirk.host}/q", env={}).push(make_bundle({"model.onnx": on_disk(weights)}), Steps())
        assert weights.read_bytes() not in quirk.blobs.values()
