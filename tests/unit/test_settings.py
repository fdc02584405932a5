"""``promote.toml`` and the environment: what wins, what is refused and how it is named, and that no secret has a place."""

import os
from pathlib import Path

import pytest

from promote.adapters.settings import EXAMPLE, FILE_NAME, load_settings, write_example
from promote.core.parity import DEFAULT_TOLERANCES, Tolerance
from promote.errors import InputError


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """A folder of its own, and nothing of this machine's environment."""
    for name in list(os.environ):
        if name.upper().startswith("PROMOTE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(text=None, environ=None):
    """Settings of this text as ``promote.toml`` in the working folder."""
    if text is not None:
        Path(FILE_NAME).write_text(text, encoding="utf-8")
    return load_settings(None, environ or {})


def refusal(text, **environ):
    with pytest.raises(InputError) as caught:
        load(text, environ)
    assert caught.value.hint or "folder" in caught.value.message
    return caught.value.message


def test_without_a_file_the_defaults_hold(tmp_path):
    settings = load()
    assert settings.folder == tmp_path
    assert settings.mlflow.tracking_uri == "sqlite:///mlflow.db"
    assert settings.registry.url == "oci:bundles"
    assert settings.export.memory_gib is None
    assert settings.targets == {}
    assert settings.tolerances() == DEFAULT_TOLERANCES


def test_the_example_says_the_defaults(tmp_path):
    plain = load()
    path = write_example(tmp_path)
    assert path.read_text() == EXAMPLE
    assert load() == plain


def test_the_example_also_loads_with_every_comment_taken_as_a_setting():
    lines = [line.removeprefix("# ") if _is_setting(line) else line for line in EXAMPLE.splitlines()]
    settings = load("\n".join(lines))
    assert str(settings.matrix) == "compat_matrix.yaml"
    assert settings.export.memory_gib == 16
    assert settings.parity["fp32"].absolute == 1e-4
    assert settings.targets["calypso"]["gpu"] == "RTX 6000 Ada"


def _is_setting(line):
    return line.startswith("# [") or (line.startswith("# ") and " = " in line)


def test_the_example_never_replaces_a_file(tmp_path):
    write_example(tmp_path)
    (tmp_path / FILE_NAME).write_text("# mine\n")
    with pytest.raises(InputError, match="exists already"):
        write_example(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("wrok_dir = 'x'", "wrok_dir"),
        ("[mlflow]\nuri = 'x'", "mlflow.uri"),
        ("[registry]\nurl = 7", "registry.url"),
        ("[registry]\npassword = 'hunter2'", "registry.password"),
        ("[export]\nseconds = 0", "export.seconds"),
        ("[export]\nseconds = 'long'", "export.seconds"),
        ("[export]\nmemory_gib = -1", "export.memory_gib"),
        ("[parity.fp32]\nabsolute = -1\nrelative = 0", "parity.fp32.absolute"),
        ("[parity.fp32]\nabsolute = nan\nrelative = 0", "parity.fp32.absolute"),
        ("[parity.fp32]\nabsolute = 0", "parity.fp32.relative"),
        ("registry = 'ghcr.io/acme'", "registry"),
        ("targets = 3", "targets"),
        ("folder = '/'", "folder"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(text, path, tmp_path):
    told = refusal(text)
    assert told.startswith(f"{tmp_path / FILE_NAME}: {path}: ")
    assert "\n" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize("data", [b"work_dir = ", b"[mlflow", b"a = 1\na = 2", b"\xff\xfe"])
def test_what_is_not_toml_is_named_with_its_file(tmp_path, data):
    (tmp_path / FILE_NAME).write_bytes(data)
    assert refusal(None).startswith(f"{tmp_path / FILE_NAME}: ")


def test_a_file_named_must_be_there(tmp_path):
    for config, environ in (("gone.toml", {}), (None, {"PROMOTE_CONFIG": "gone.toml"}), (str(tmp_path), {})):
        with pytest.raises(InputError, match="no settings file"):
            load_settings(config, environ)


def test_the_option_beats_the_environment_beats_the_nearest_file(tmp_path, monkeypatch):
    for name in ("option", "environment", FILE_NAME):
        (tmp_path / name).write_text(f"[registry]\nurl = 'oci:{name}'")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    environ = {"PROMOTE_CONFIG": str(tmp_path / "environment")}
    assert load_settings(str(tmp_path / "option"), environ).registry.url == "oci:option"
    assert load_settings(None, environ).registry.url == "oci:environment"
    found = load_settings(None, {})
    assert found.registry.url == f"oci:{FILE_NAME}"
    assert found.folder == tmp_path


def test_the_environment_wins_key_by_key(monkeypatch):
    monkeypatch.setenv("PROMOTE_REGISTRY__URL", "ghcr.io/acme/models")
    monkeypatch.setenv("PROMOTE_EXPORT__SECONDS", "5")
    settings = load("[registry]\nurl = 'oci:x'\n[export]\nseconds = 9\nmemory_gib = 3")
    assert settings.registry.url == "ghcr.io/acme/models"
    assert (settings.export.seconds, settings.export.memory_gib) == (5, 3)


def test_an_empty_variable_says_nothing(monkeypatch):
    monkeypatch.setenv("PROMOTE_WORK_DIR", "")
    assert str(load("work_dir = 'mine'").work_dir) == "mine"


def test_a_wrong_variable_is_refused_by_its_key(monkeypatch):
    monkeypatch.setenv("PROMOTE_EXPORT__SECONDS", "soon")
    assert "export.seconds: " in refusal("")


def test_a_section_that_is_no_json_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("PROMOTE_REGISTRY", "ghcr.io/acme")
    told = refusal("")
    assert told.startswith("environment: ")
    assert '"registry"' in told


def test_no_variable_moves_the_folder_that_paths_are_relative_to(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMOTE_FOLDER", "/")
    assert load("").folder == tmp_path


def test_mlflows_own_variable_beats_the_file_and_promotes_beats_both(monkeypatch):
    text, environ = "[mlflow]\ntracking_uri = 'http://file'", {"MLFLOW_TRACKING_URI": "http://mlflow"}
    assert load(text).mlflow.tracking_uri == "http://file"
    assert load(text, environ).mlflow.tracking_uri == "http://mlflow"
    monkeypatch.setenv("PROMOTE_MLFLOW__TRACKING_URI", "http://promote")
    assert load(text, environ).mlflow.tracking_uri == "http://promote"


def test_mlflows_variable_beside_a_section_that_is_no_table_is_refused_by_its_key():
    assert "mlflow: " in refusal("mlflow = 'http://file'", MLFLOW_TRACKING_URI="http://mlflow")


def test_relative_paths_are_relative_to_the_file_and_absolute_ones_stay(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "p.toml").write_text("matrix = 'm.yaml'\ntemplates = '/srv/t'")
    settings = load_settings("deep/p.toml", {})
    assert settings.folder == tmp_path / "deep"
    assert settings.path(settings.matrix) == tmp_path / "deep" / "m.yaml"
    assert str(settings.path(settings.templates)) == "/srv/t"


def test_tolerances_complete_the_defaults():
    tolerances = load("[parity.fp16]\nabsolute = 0.5\nrelative = 0").tolerances()
    assert tolerances["fp16"] == Tolerance(0.5, 0)
    assert tolerances["fp32"] == DEFAULT_TOLERANCES["fp32"]


@pytest.mark.parametrize("key", ["token", "password", "username", "secret", "access_key", "credentials"])
@pytest.mark.parametrize("section", ["", "[mlflow]", "[registry]", "[export]"])
def test_no_section_has_a_place_for_a_credential(section, key):
    told = refusal(f"{section}\n{key} = 'hunter2'")
    assert key in told
    assert "hunter2" not in told


def test_variables_that_are_no_settings_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMOTE_CONFIG", str(tmp_path / FILE_NAME))
    monkeypatch.setenv("PROMOTE_TRITON_CARRIER", "/opt/carrier")
    monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load())
