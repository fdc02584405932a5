"""A Triton repository on disk, read with caps; nothing in it is followed or opened but config.pbtxt."""

import os

import pytest

from promote.adapters import repository_file
from promote.adapters.repository_file import find, read_model
from promote.core.model_config import parse_config
from promote.errors import InputError, IntegrityError


def model(root, name="m", config='backend: "onnxruntime"', files=("1/model.onnx",)):
    for file in files:
        (root / name / file).parent.mkdir(parents=True, exist_ok=True)
        (root / name / file).write_bytes(b"x")
    if config is not None:
        (root / name / "config.pbtxt").write_bytes(config.encode() if isinstance(config, str) else config)
    return root / name


def test_a_tree_holds_models_directories_and_the_files_outside_of_them(tmp_path):
    model(tmp_path, "b", None)
    model(tmp_path, "deep/a", files=("1/model.onnx", "1/more.onnx"))
    (tmp_path / "notes").mkdir()
    for plain in ("notes/x.onnx", "notes/y.plan", "notes/z.txt"):
        (tmp_path / plain).write_bytes(b"x")
    (tmp_path / "2024").mkdir()
    (tmp_path / "2024/net.onnx").write_bytes(b"x")  # a year, no version: it holds no file that Triton looks for
    (tmp_path / "loop").symlink_to(tmp_path)
    tree = find(str(tmp_path), (".onnx", ".plan"))
    assert [path.removeprefix(f"{tmp_path}/") for path in tree.models] == ["b", "deep/a"]
    assert [path.removeprefix(f"{tmp_path}/") for path in tree.files] == [
        "2024/net.onnx",
        "notes/x.onnx",
        "notes/y.plan",
    ]


def test_a_model_comes_with_versions_files_and_what_triton_skips(tmp_path):
    model(tmp_path, "b", None)
    model(tmp_path, "a", files=("1/model.onnx", "10/model.onnx", "02/model.onnx", "x/model.onnx", "warmup/z", "l.txt"))
    a, b = read_model(str(tmp_path / "a")), read_model(str(tmp_path / "b"))
    assert (a.name, a.versions, a.skipped) == ("a", (1, 10), ("02", "x"))
    assert {"1/model.onnx", "l.txt", "config.pbtxt"} <= a.files
    assert (b.name, b.config) == ("b", None)


def test_a_model_folder_is_found_by_its_own_path(tmp_path):
    folder = str(model(tmp_path))
    assert find(folder, (".onnx",)).models == (folder,)


def test_a_linked_file_counts_as_one_and_a_linked_folder_is_not_entered(tmp_path):
    folder = model(tmp_path, files=("1/other",))
    (tmp_path / "blob").write_bytes(b"x")
    (folder / "1/model.onnx").symlink_to(tmp_path / "blob")
    (folder / "1/nowhere").symlink_to(tmp_path / "gone")
    (folder / "2").symlink_to(folder / "1")
    found = read_model(str(folder))
    assert found.versions == (1,)
    assert found.files == {"config.pbtxt", "1/model.onnx", "1/other"}


@pytest.mark.parametrize("config", [b"#" * (1024 * 1024 + 1)])
def test_a_configuration_that_is_too_large_is_refused(tmp_path, config):
    with pytest.raises(IntegrityError):
        read_model(str(model(tmp_path, config=config)))


def test_a_configuration_that_is_a_link_or_a_pipe_is_refused(tmp_path):
    folder = model(tmp_path, config=None)
    (folder / "config.pbtxt").symlink_to("/etc/hostname")
    with pytest.raises(IntegrityError):
        read_model(str(folder))
    (folder / "config.pbtxt").unlink()
    os.mkfifo(folder / "config.pbtxt")
    with pytest.raises(IntegrityError):
        read_model(str(folder))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(repository_file, "_MOST_FILES", 2)
    with pytest.raises(IntegrityError, match="more than 2 files"):
        read_model(str(model(tmp_path, files=("1/a", "1/b"))))


def test_too_many_versions_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(repository_file, "_MOST_VERSIONS", 2)
    with pytest.raises(IntegrityError, match="3 versions"):
        read_model(str(model(tmp_path, files=("1/a", "2/a", "3/a"))))


def test_a_link_to_a_model_keeps_its_name(tmp_path, monkeypatch):
    (tmp_path / "other").symlink_to(model(tmp_path))
    assert read_model(str(tmp_path / "other")).name == "other"
    monkeypatch.chdir(tmp_path / "m/1")
    assert read_model("..").name == "m"


def test_nothing_there_is_said(tmp_path):
    for read in (read_model, lambda path: find(path, (".onnx",))):
        with pytest.raises(InputError):
            read(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    "text",
    [
        b"no_such_field: 1",
        b"{{{{",
        b"input [ " * 200,
        b"max_batch_size: 99999999999999",
        b"\xff\xfe",
        b"#" * (2**20 + 1),
    ],
)
def test_a_wrong_configuration_is_refused_by_type(text):
    with pytest.raises(IntegrityError):
        parse_config(text, "config.pbtxt")


def test_a_right_one_is_the_message():
    assert parse_config(b'name: "m" max_batch_size: 4', "config.pbtxt").max_batch_size == 4
