"""What the commands about compatibility print, whole: exit code, stdout and stderr, on a small matrix that is stale."""

from pathlib import Path

import pytest

from tests.golden_cli import FOLDER, Golden
from tests.parts.config_cases import (
    STEPS,
    Folder,
    adds,
    ensemble,
    onnx_folder,
    python_folder,
    sample,
    step,
    tensor,
    warm,
)

CPU = ("--target", "proteus")
GPU = ("--target", "calypso")


@pytest.fixture
def golden(request, tmp_path, monkeypatch):
    """A folder with a model repository, model files beside it, and settings that name the small matrix."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMOTE_CONFIG", raising=False)
    Path("promote.toml").write_text(f'matrix = "{FOLDER / "matrix.yaml"}"\n')
    repository = Path("models")
    repository.mkdir()
    made = STEPS | {
        "both": ensemble(step(gives="y: t"), step("step-of-4", takes="x: t"), batch=4),
        "code": python_folder(),
        "cold": onnx_folder(warm(sample(dims="-1"))),
        "names": onnx_folder(y=tensor("output", "z")),
        "torn": Folder("no_such_field: 1"),
    }
    for name, folder in made.items():
        folder.write(repository, name)
    plan = b"ftrt" + bytes(20) + bytes([10, 13, 3, 9]) + bytes(100)
    for path, data in {"loose/net.onnx": adds(), "loose/yolo.engine": plan}.items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(data)
    return Golden(request, tmp_path)


COMMANDS = {
    "check-file": ("check", "loose/net.onnx", *CPU),
    "check-plan": ("check", "loose/yolo.engine", *GPU),
    "check-repository": ("check", ".", *CPU),
    "check-repository-jsonl": ("check", "models", *CPU, "--jsonl"),
    "check-repository-json": ("check", "models", *CPU, "--json"),
    "check-model": ("check", "models/cold", *CPU),
    "check-ensemble-alone": ("check", "models/both", *CPU),
    "check-explain": ("check", "models/cold", *CPU, "--explain", "config-warmup"),
    "check-explain-folder": ("check", "models", *CPU, "--explain", "ensemble-models"),
    "check-explain-json": ("check", "loose/net.onnx", *CPU, "--explain", "onnx-opset", "--json"),
    "check-explain-unknown": ("check", "loose/net.onnx", *CPU, "--explain", "opset"),
    "check-nothing": ("check", "models/code/1", *CPU),
    "matrix-explain": ("matrix", "explain", "config-ensemble"),
    "matrix-show": ("matrix", "show", "triton_releases"),
    "matrix-validate": ("matrix", "validate"),
    "matrix-validate-json": ("matrix", "validate", "--json"),
    "what-if": ("what-if", "loose", *GPU, "--triton", "24.12"),
    "what-if-json": ("what-if", "loose", *GPU, "--triton", "24.12", "--json"),
    "what-if-jsonl": ("what-if", "loose", *GPU, "--triton", "24.12", "--jsonl"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_print_what_they_did(golden, name):
    golden(name, *COMMANDS[name])


def test_every_golden_file_has_its_command():
    assert {path.stem for path in FOLDER.glob("*.txt")} >= set(COMMANDS)
