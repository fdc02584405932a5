"""The house holds: imports, who may build what, light commands, help for everything."""

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest

from promote import errors
from promote.cli.main import VERBS, promote
from promote.cli.render import CODES

SOURCE = Path(__file__).resolve().parents[2] / "src/promote"
HEAVY = (
    "mlflow",
    "torch",
    "transformers",
    "onnxruntime",
    "tritonclient",
    "boto3",
    "oras",
    "rich",
    "onnx",
    "numpy",
    "pydantic",
)


def built_in(name):
    """Rooms whose files call ``name(...)``."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        if any(isinstance(call, ast.Name) and call.id == name for call in calls):
            found.add(path.relative_to(SOURCE).as_posix())
    return found


def test_only_judge_builds_a_compatible_and_only_approve_an_approved():
    assert built_in("Compatible") == {"core/verdict.py"}
    assert built_in("Approved") == {"core/review.py"}


@pytest.mark.parametrize(
    "pattern", ["extractall", "yaml.load(", "pickle", "jinja2", "shell=True", "os.system", "eval("]
)
def test_what_must_never_be_written_is_not(pattern):
    hits = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in SOURCE.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern in line and "allow_pickle" not in line and not _prose(line, pattern)
    ]
    assert hits == []


def _prose(line, pattern):
    """A word in a sentence, a name that merely holds it, or `module.eval()` of torch."""
    return (
        pattern in ("pickle", "eval(")
        and f"import {pattern}" not in line
        and f"{pattern}.load" not in line
        and (pattern == "pickle" or ".eval()" in line or "literal_eval" in line)
    )


def imported_by(*arguments):
    text = f"import sys; from promote.cli.main import run; run({list(arguments)!r}); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_help_imports_nothing_heavy():
    assert imported_by("--help") & set(HEAVY) == set()


def test_check_imports_neither_mlflow_nor_torch_nor_numpy(tmp_path):
    from onnx import TensorProto, helper, save

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 2])
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"])],
            "g",
            [x],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 2])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    save(model, tmp_path / "m.onnx")
    heavy = {"mlflow", "torch", "numpy", "transformers", "onnxruntime", "tritonclient", "boto3"}
    assert imported_by("check", str(tmp_path / "m.onnx"), "--runtime", "onnxruntime=1.24.4") & heavy == set()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_says_json_where_it_answers(verb):
    command = promote.get_command(click.Context(promote), verb)
    assert command is not None
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    leaves = command.commands.values() if isinstance(command, click.Group) else [command]
    if verb != "init":
        assert all("--json" in {o for p in leaf.params for o in p.opts} for leaf in leaves), options


def test_every_error_class_has_an_exit_code_of_the_table_and_stands_in_the_tree():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.PromoteError)]
    for cls in classes:
        assert cls.exit_code in errors.EXIT_CODES
        assert cls.__name__ in errors.__doc__
        assert str(cls.exit_code) in errors.__doc__
    codes = [cls.exit_code for cls in classes]
    assert len(codes) == len(set(codes))
    assert set(CODES.values()) <= set(errors.EXIT_CODES)


def test_import_contracts_hold():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter], capture_output=True, text=True, cwd=SOURCE.parents[1], check=False)
    assert done.returncode == 0, done.stdout


def test_a_rollback_reads_neither_rules_nor_registries_nor_decisions_before_it_switches(tmp_path):
    """Somebody waits for it: on a busy host these took longer than the switch."""
    (tmp_path / "models").mkdir()
    (tmp_path / "promote.toml").write_text(
        '[targets.desk]\ndevice = "cpu"\ntriton = "24.10"\nreview = false\nhttp = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\n'
        f'model_repository = "{tmp_path}/models"\n'
    )
    words = ["--config", "promote.toml", "rollback", "m", "--target", "desk"]
    text = f"import sys; from promote.cli.main import run; print(run({words!r}), *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path)
    code, *names = done.stdout.split()
    assert code == "3", done.stderr  # nothing was ever deployed there
    assert "promote.pipeline.switching" in names
    late = (
        "promote.core.rules.",
        "promote.core.gates",
        "promote.core.decisions",
        "promote.core.referrers",
        "promote.adapters.oci",
    )
    assert [name for name in names if name.startswith(late)] == []
    assert {"mlflow", "tritonclient", "requests"}.isdisjoint(names)


def test_every_story_can_be_asked_for():
    import promote.pipeline as stories

    assert sorted(stories._TOLD_IN) == stories.__all__
    assert all(callable(getattr(stories, name)) or getattr(stories, name) for name in stories.__all__)
