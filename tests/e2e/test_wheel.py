"""The wheel in an environment of its own with the base dependencies only: the first commands of a newcomer."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
# What pip says where it finds no package at all: then this machine cannot try it, and that is no fault of the wheel.
NO_SOURCE = re.compile(
    r"No matching distribution found|Could not find a version|ConnectionError|NewConnectionError|Temporary failure"
)
OWN = ("promote", "PYTHON", "PROMOTE_", "MLFLOW_", "VIRTUAL_ENV")  # of the environment: what could help it cheat


def call(*command, cwd, timeout=280):
    env = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def or_skip(done, doing):
    """``done``, unless it failed for want of any source of packages."""
    told = done.stdout + done.stderr
    if done.returncode and NO_SOURCE.search(told) and "promote" not in told.splitlines()[-1]:
        pytest.skip(f"{doing}: pip reaches no source of packages")
    assert done.returncode == 0, f"{doing}: {told}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build", reason="build is not installed")
    out = tmp_path_factory.mktemp("dist")
    or_skip(call(sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT), cwd=out), "build")
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """``bin`` of an environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("env")
    assert call(sys.executable, "-m", "venv", str(folder), cwd=folder).returncode == 0
    or_skip(call(str(folder / "bin/python"), "-m", "pip", "install", "-q", str(wheel), cwd=folder), "install")
    return folder / "bin"


@pytest.fixture
def promote(installed, tmp_path):
    return lambda *arguments: call(str(installed / "promote"), *arguments, cwd=tmp_path)


@pytest.fixture
def model(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_wheel_holds_the_matrix_and_the_templates_byte_for_byte(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert "promote/py.typed" in names
        assert not [name for name in names if name.startswith(("tests/", "examples/", "benchmarks/"))]
        data = [ROOT / "compat_matrix.yaml", *(p for p in (ROOT / "model_repo_templates").rglob("*") if p.is_file())]
        for path in data:
            assert archive.read(f"promote/data/{path.relative_to(ROOT).as_posix()}") == path.read_bytes()


def test_the_base_install_has_none_of_the_heavy_libraries(installed):
    done = call(str(installed / "python"), "-m", "pip", "list", "--format=json", cwd=installed)
    names = {package["name"].lower() for package in json.loads(done.stdout)}
    assert "promote" in names
    assert names.isdisjoint(
        {"mlflow", "mlflow-skinny", "torch", "transformers", "onnxruntime", "tritonclient", "boto3"}
    )


def test_the_installed_package_is_the_wheel_and_not_the_checkout(installed, tmp_path):
    done = call(str(installed / "python"), "-c", "import promote; print(promote.__file__)", cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(installed.parent)


def test_help_lists_every_verb(promote):
    done = promote("--help")
    assert done.returncode == 0, done.stderr
    for verb in ("init", "targets", "check", "model", "review", "deploy", "rollback", "status"):
        assert re.search(rf"^  {verb} ", done.stdout, re.M)


def test_targets_come_from_the_matrix_in_the_wheel(promote):
    done = promote("targets")
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"TARGET", "calypso", "local"}


def test_init_writes_settings_that_the_next_command_reads(promote, tmp_path):
    assert promote("init").returncode == 0
    assert (tmp_path / "promote.toml").is_file()
    assert promote("targets").returncode == 0
    again = promote("init")
    assert again.returncode == 2
    assert "promote.toml" in again.stderr


def test_check_judges_a_file_for_a_bare_runtime(promote, model):
    done = promote("check", model.name, "--runtime", "onnxruntime=1.20.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("compatible with onnxruntime")


def test_check_against_local_is_undecided_until_its_runtime_is_declared(promote, model, tmp_path):
    """No ONNX Runtime is in the base install, so what `local` would run is not known."""
    done = promote("check", model.name, "--target", "local")
    assert done.returncode == 11, done.stdout + done.stderr
    assert 'do pip install "promote[cpu]"' in done.stdout
    (tmp_path / "promote.toml").write_text('[targets.local]\nonnxruntime = "1.20.1"\nmemory_gib = 4\n')
    assert promote("check", model.name, "--target", "local").returncode == 0


@pytest.mark.parametrize(
    ("command", "extra"),
    [("status --target local", "triton"), ("model abc --target local", "mlflow")],
)
def test_a_command_beyond_the_base_install_names_its_extra(promote, tmp_path, command, extra):
    (tmp_path / "promote.toml").write_text(
        '[targets.local]\nhttp = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\nmodel_repository = "models"\n'
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "mlflow.db").touch()
    done = promote(*command.split())
    assert done.returncode == 2, done.stderr
    assert done.stderr.endswith(f'is not installed\n\nhint: pip install "promote[{extra}]"\n')
