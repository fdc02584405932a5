"""A directory that becomes a bundle: what may be in it, what its passport says, and what is refused before a byte is sent."""

from __future__ import annotations

import datetime
import json
import os
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from promote.adapters.oci.directory import read_directory
from promote.adapters.oci.registry import open_registry
from promote.cli.main import run
from promote.core.directory import pack_directory
from promote.core.facts import ModelFacts, Target
from promote.core.gates import Found, gates, read_passport
from promote.core.golden import join
from promote.core.layout import passport_of
from promote.core.manifest import from_directory
from promote.core.matrix_rows import RegistryLimits
from promote.core.passport_reading import read_passport as read_facts_of
from promote.core.passport_summary import summary
from promote.core.policy import Terms
from promote.core.stages import Blob
from promote.core.verdict import judge
from promote.errors import InputError, IntegrityError, NotFound
from tests.fakes.bundle import contents
from tests.fakes.registry import Steps

pytestmark = pytest.mark.registry
HERE = ["--target", "local"]


def written(folder: Path, name="times", version=3, **changes):
    """A model repository's directory of one model, without a passport; ``changes``: bytes, or None for no such file."""
    files = contents(name, version)
    del files[f"{name}/{version}/promote/passport.json"]
    for path, data in (files | {key.replace("__", "/"): value for key, value in changes.items()}).items():
        if data is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    return folder / name


def packed(path, target="calypso"):
    found = read_directory(str(path), Steps())
    return pack_directory(found, judge(ModelFacts(), target, ()), Target(name=target), "sha256:" + "0" * 64)


@pytest.fixture(params=["layout", "registry"])
def base(request, tmp_path):
    if request.param == "layout":
        return f"oci:{tmp_path / 'goal'}"
    return f"http://{request.getfixturevalue('registry').host}/p{uuid.uuid4().hex[:8]}"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A folder with settings of a target on this machine."""
    target = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nmodel_repository = "served"\n'
    (tmp_path / "promote.toml").write_text(f'[mlflow]\ntracking_uri = "sqlite:///none.db"\n[targets.local]\n{target}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_becomes_a_bundle_that_says_so(tmp_path, base):
    path = written(tmp_path / "models")
    registry = open_registry(base, env={})
    landed = registry.take(packed(path), Steps())
    stored = registry.resolve("times", "v3")
    assert landed.reference == stored.reference
    assert from_directory(stored)
    fetched = registry.fetch(stored, str(tmp_path / "out"), Steps())
    assert Path(fetched["times/3/model.onnx"]).read_bytes() == (path / "3/model.onnx").read_bytes()
    passport = registry.read(stored, passport_of(stored))
    assert read_facts_of(passport, "it").version == 3
    told = summary(passport)
    assert (told["run"], told["parity"]) == ("none: it comes from a directory", "not proven")
    assert json.loads(passport)["origin"] == "directory"
    again = registry.take(packed(tmp_path / "models"), Steps())  # the repository that holds nothing else
    assert (again.sent, again.reference) == (0, landed.reference)
    written(tmp_path / "models", **{"times__3__labels.txt": b"O\n"})
    with pytest.raises(IntegrityError, match="is another bundle already"):
        registry.take(packed(path), Steps())


@pytest.mark.parametrize(
    ("terms", "samples", "failed"),
    [
        (Terms(), True, {"directories"}),
        (Terms(directories=True), True, set()),
        (Terms(directories=True), False, {"samples"}),
        (Terms.model_validate({"directories": True, "parity": {"max_absolute": 1}}), True, {"parity max_absolute"}),
        (Terms.model_validate({"directories": True, "metrics": {"f1": {"min": 0.1}}}), True, {"metrics.f1 min"}),
    ],
)
def test_a_policy_must_allow_it_and_what_no_run_told_does_not_pass(tmp_path, terms, samples, failed):
    changes = {} if samples else {"times__3__promote__golden.safetensors": None}
    cargo = packed(written(tmp_path, **changes))
    blob = cargo.blobs[passport_of(cargo.bundles[0]).digest]
    found = Found(
        told=read_passport(blob.data or b""), live=None, kinds=frozenset(), probed="", collected="",
        moment=datetime.datetime.now(datetime.UTC),
    )  # fmt: skip
    assert {gate.rule for gate in gates(terms, found) if not gate.holds} == failed


LINKS = {
    "a link to a file": lambda p: (p / "3/weights.data").symlink_to("/etc/hostname"),
    "a link to a folder": lambda p: (p / "3/tokenizer").symlink_to("/etc"),
    "a link in place of the model": lambda p: ((p / "3/model.onnx").unlink(), (p / "3/model.onnx").symlink_to("x")),
    "a pipe": lambda p: os.mkfifo(p / "3/weights.data"),
}
if os.geteuid() == 0:
    LINKS["a device"] = lambda p: os.mknod(p / "3/weights.data", 0o20600, os.makedev(1, 3))


@pytest.mark.parametrize("kind", LINKS)
def test_links_and_devices_are_refused(tmp_path, kind):
    path = written(tmp_path)
    read_directory(str(path), Steps())  # its twin is well
    try:
        LINKS[kind](path)
    except PermissionError:
        pytest.skip("this machine makes no devices")
    with pytest.raises(InputError, match="expected a plain file"):
        read_directory(str(path), Steps())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"times__config.pbtxt": None}, r"has no config\.pbtxt"),
        ({"times__config.pbtxt": b'name: "other"\nbackend: "onnxruntime"\n'}, "it is of model 'other'"),
        ({"times__config.pbtxt": b'name: "times"\nbackend: "python"\n'}, "backend 'python'"),
        (
            {"times__config.pbtxt": b'name: "times"\nbackend: "onnxruntime"\nruntime: "x.so"\n'},
            "field runtime is not allowed",
        ),
        ({"times__config.pbtxt": b"{{"}, "is no model configuration"),
        ({"times__3__model.onnx": None, "times__3__model.pt": b"x"}, r"has no times/3/model\.onnx"),
        ({"times__4__model.onnx": b"x"}, "versions 3, 4, expected one"),
        ({"times__3__libtriton_onnxruntime.so": b"x"}, "are code, not data"),
        ({"times__3__weights.bin": b"\x7fELF" + b"x" * 100}, "native code"),
        ({"times__3__model.py": b"x"}, "are code, not data"),
        ({"times__README.md": b"x"}, "may not be in a bundle"),
        ({"times__3__promote__passport.json": b"{}"}, "this is a bundle that was pulled"),
        ({"times__3__promote__golden.safetensors": b"x"}, "golden samples"),
        (
            {"times__3__promote__golden.safetensors": join({"a": ({"x": np.ones((1, 4), np.float32)}, {})})},
            "has no outputs",
        ),
        ({"times__3__A.txt": b"x", "times__3__a.txt": b"x"}, "two files share one name"),
    ],
)
def test_what_no_bundle_holds_is_refused(tmp_path, changes, told):
    path = written(tmp_path, **changes)
    with pytest.raises(InputError, match=told) as refused:
        read_directory(str(path), Steps())
    assert "\n" not in refused.value.message


def test_what_is_no_models_directory_is_refused(tmp_path):
    written(tmp_path / "two", "one", 1)
    written(tmp_path / "two", "two", 1)
    with pytest.raises(InputError, match="holds 2 models, expected one model"):
        read_directory(str(tmp_path / "two"), Steps())
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="is no directory"):
        read_directory(str(tmp_path / "file"), Steps())
    with pytest.raises(NotFound, match="no directory"):
        read_directory(str(tmp_path / "none"), Steps())


def test_a_file_that_changes_after_it_was_read_is_not_sent(tmp_path, base):
    path = written(tmp_path)
    cargo = packed(path)
    model = path / "3/model.onnx"
    model.write_bytes(bytes(model.stat().st_size))
    registry = open_registry(base, env={})
    with pytest.raises(IntegrityError, match="which was digested before"):
        registry.take(cargo, Steps())
    with pytest.raises(NotFound):
        registry.resolve("times", "v3")


def test_a_layer_beyond_ten_gigabytes_is_refused_before_a_byte_is_read(tmp_path, registry):
    row = {"host": registry.host, "largest_layer": 10_000_000_000, "source": "the registry's own page"}
    limits = [RegistryLimits.model_validate(row | {"upload": "monolithic", "resume": "ask"})]
    found = read_directory(str(written(tmp_path)), Steps())
    large = Blob("sha256:" + "1" * 64, 10_000_000_001, str(tmp_path / "not there"))
    found = replace(found, files=dict(found.files) | {"times/3/weights.data": large})
    cargo = pack_directory(found, judge(ModelFacts(), "calypso", ()), Target(name="calypso"), "sha256:" + "0" * 64)
    with pytest.raises(InputError, match=r"times/3/weights\.data has 10,000,000,001 bytes"):
        open_registry(f"http://{registry.host}/l", env={}, limits=limits).take(cargo, Steps())


def test_the_command_judges_and_tells(settings, capsys):
    written(settings / "models")
    assert run(["push", "models/times", "oci:bundles/", *HERE, "--outputs", "out"]) == 0
    said = capsys.readouterr()
    reference = said.out.splitlines()[-1]
    assert reference.startswith(f"oci:{settings}/bundles/times@sha256:")
    assert "compatible with local" in said.err
    assert "not proven: no run is known" in said.err
    assert f"reference={reference}\n" in (settings / "out").read_text()
    assert run(["push", "models", "oci:bundles/times:v3", *HERE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["origin"], told["bytes"]["sent"], told["reference"]) == ("directory", 0, reference)
    assert run(["push", "models", "oci:bundles/times:v4", *HERE]) == 2
    assert run(["push", "models", "oci:bundles/other", *HERE]) == 2
    assert run(["push", "models", *HERE]) == 2
    assert run(["push", "models", "oci:bundles/", *HERE, "--from", "oci:x"]) == 2
    capsys.readouterr()
    assert run(["inspect", "oci:bundles/times:v3"]) == 0
    assert "none: it comes from a directory" in capsys.readouterr().out


def test_a_directory_that_would_not_load_is_not_sent(settings, capsys):
    model = contents("times", 3)["times/3/model.onnx"]
    written(settings / "models", **{"times__3__model.onnx": model.replace(b"Mul", b"Mup")})
    assert run(["push", "models", "oci:bundles/", *HERE]) == 10
    assert "nothing was sent" in capsys.readouterr().err
    assert not (settings / "bundles").exists()
