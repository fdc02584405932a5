"""A Triton repository on disk, read with caps; nothing in it is followed or opened but config.pbtxt."""

import os

import pytest

from promote.adapters import repository_file
from promote.adapters.repository_file import parse_config, read_repository
from promote.errors import InputError, IntegrityError, NotFound


def model(root, name="m", config='backend: "onnxruntime"', files=("1/model.onnx",)):
    for file in files:
        (root / name / file).parent.mkdir(parents=True, exist_ok=True)
        (root / name / file).write_bytes(b"x")
    if config is not None:
        (root / name / "config.pbtxt").write_bytes(config.encode() if isinstance(config, str) else config)
    return root / name


def test_models_come_with_versions_files_and_what_triton_skips(tmp_path):
    model(tmp_path, "b", None)
    model(tmp_path, "a", files=("1/model.onnx", "10/model.onnx", "02/model.onnx", "x/model.onnx", "warmup/z", "l.txt"))
    (tmp_path / "notes").mkdir()
    a, b = read_repository(str(tmp_path))
    assert (a.name, a.versions, a.skipped) == ("a", (1, 10), ("02", "x"))
    assert {"1/model.onnx", "l.txt", "config.pbtxt"} <= a.files
    assert (b.name, b.config) == ("b", None)


def test_a_model_folder_is_a_repository_of_one(tmp_path):
    assert [m.name for m in read_repository(str(model(tmp_path)))] == ["m"]


def test_links_are_not_followed(tmp_path):
    folder = model(tmp_path)
    (folder / "1/out").symlink_to("/etc/hostname")
    (folder / "2").symlink_to(folder / "1")
    (found,) = read_repository(str(folder))
    assert found.versions == (1,)
    assert "1/out" not in found.files


@pytest.mark.parametrize("config", [b"\xff\xfe", b"#" * (1024 * 1024 + 1)])
def test_a_configuration_that_is_no_text_or_too_large_is_refused(tmp_path, config):
    with pytest.raises(IntegrityError):
        read_repository(str(model(tmp_path, config=config)))


def test_a_configuration_that_is_a_link_or_a_pipe_is_refused(tmp_path):
    folder = model(tmp_path, config=None)
    (folder / "config.pbtxt").symlink_to("/etc/hostname")
    with pytest.raises(IntegrityError):
        read_repository(str(folder))
    (folder / "config.pbtxt").unlink()
    os.mkfifo(folder / "config.pbtxt")
    with pytest.raises(IntegrityError):
        read_repository(str(folder))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(repository_file, "_MOST_FILES", 2)
    with pytest.raises(IntegrityError, match="more than 2 files"):
        read_repository(str(model(tmp_path, files=("1/a", "1/b"))))


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(NotFound):
        read_repository(str(tmp_path / "absent"))
    with pytest.raises(InputError):
        read_repository(str(tmp_path))


@pytest.mark.parametrize("text", ["no_such_field: 1", "{{{{", "input [ " * 200, "max_batch_size: 99999999999999"])
def test_a_wrong_configuration_is_refused_by_type(text):
    with pytest.raises(IntegrityError):
        parse_config(text, "config.pbtxt")


def test_a_right_one_is_the_message():
    assert parse_config('name: "m" max_batch_size: 4', "config.pbtxt").max_batch_size == 4
