"""A library that is not installed: one line that names the extra, and exit code 2, never a fault of promote."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from promote.adapters import onnx_package
from promote.adapters.export import child
from promote.cli.main import run
from promote.core import triton_messages
from promote.core.extras import BASE, EXTRAS, not_installed

ROOT = Path(__file__).resolve().parents[2]
BROUGHT_ALONG = {"grpc", "geventhttpclient", "botocore", "onnx_ir"}


def hide(monkeypatch, *modules):
    """Importing any of these, or a part of one, says that it is not there."""

    class Hidden:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in modules:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] in modules]:
        monkeypatch.delitem(sys.modules, name)
    for remembered in (
        onnx_package.messages,
        onnx_package.operators,
        triton_messages.configs,
        triton_messages.services,
    ):
        remembered.cache_clear()
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a target that has endpoints nobody listens on, and an ONNX model."""
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    (tmp_path / "promote.toml").write_text(
        '[targets.local]\nhttp = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\nmodel_repository = "models"\n'
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "mlflow.db").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("PROMOTE_CONFIG", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "command", "hint"),
    [
        ("onnx", "check m.onnx --runtime onnxruntime=1.20.1", "pip install --force-reinstall promote"),
        ("tritonclient", "status --target local", 'pip install "promote[triton]"'),
        ("mlflow", "model abc --target local", 'pip install "promote[mlflow]"'),
        ("oras", "--config r.toml review show m:v1 --target local", "pip install --force-reinstall promote"),
    ],
)
def test_a_command_whose_library_is_missing_names_what_to_install(folder, monkeypatch, capsys, module, command, hint):
    (folder / "r.toml").write_text('[registry]\nurl = "http://127.0.0.1:9/models"\n')
    hide(monkeypatch, module)
    assert run(command.split()) == 2
    told = capsys.readouterr().err
    assert "is not installed" in told
    assert told.endswith(f"\n\nhint: {hint}\n")


def test_with_json_the_missing_library_is_in_the_object(folder, monkeypatch, capsys):
    hide(monkeypatch, "tritonclient")
    assert run(["status", "--target", "local", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["exit"]["code"] == 2
    assert told["error"]["hint"] == 'pip install "promote[triton]"'


def test_check_needs_none_of_the_extras(folder, monkeypatch, capsys):
    hide(monkeypatch, *EXTRAS)
    assert run(["check", "m.onnx", "--runtime", "onnxruntime=1.20.1"]) == 0


@pytest.mark.parametrize(
    ("do", "module", "extra"), [("export", "torch", "export"), ("source run", "onnxruntime", "cpu")]
)
def test_the_child_of_an_export_names_the_extra_it_lacks(tmp_path, monkeypatch, do, module, extra):
    hide(monkeypatch, module)
    monkeypatch.chdir(tmp_path)
    Path("job.json").write_text(json.dumps({"do": do, "model": "model.onnx", "flavour": "pytorch", "path": "x"}))
    assert child.main("job.json") == 0
    assert json.loads(Path(f"{do}.result.json").read_text()) == {
        "error": "input",
        "message": f"{module} is not installed",
        "hint": f'pip install "promote[{extra}]"',
    }


def test_a_module_that_is_none_of_ours_is_still_a_fault():
    assert not_installed(ModuleNotFoundError("No module named 'promot'", name="promot")) is None
    assert not_installed(ValueError("torch")) is None


def test_an_error_raised_from_a_missing_import_counts_as_one():
    wrapped = RuntimeError("The installation does not include http support.")
    wrapped.__cause__ = ModuleNotFoundError("No module named 'geventhttpclient'", name="geventhttpclient")
    assert not_installed(wrapped).hint == 'pip install "promote[triton]"'


def test_every_extra_named_exists_and_requires_that_library():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for module, extra in EXTRAS.items():
        required = project["optional-dependencies"][extra]
        assert module in BROUGHT_ALONG or any(line.startswith(module) for line in required), (module, extra)
    base = " ".join(project["dependencies"]).replace("-", "_")
    assert [module for module in BASE - {"google"} if module not in base] == []


def test_the_table_is_light():
    code = "import sys; import promote.core.extras; print([m for m in sys.modules if m in promote.core.extras.EXTRAS])"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
