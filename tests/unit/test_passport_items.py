"""Passports are found in folders and layouts; a damaged one is told and hides no other."""

import hashlib
import json

import pytest

from promote.adapters.oci.passports import read_layout
from promote.adapters.passports import find
from promote.cli.progress import Silent
from promote.errors import NotFound
from promote.wiring import open_wiring

PASSPORT = json.dumps(
    {"schema": "promote.passport/1", "name": "m", "version": 1, "target": {"name": "t"}, "facts": {}}
).encode()


def blob(root, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    path = root / "blobs/sha256" / digest[7:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def layout(root, tags=("v1",)):
    digest = blob(root, json.dumps({"annotations": {"io.promote.passport": blob(root, PASSPORT)}}).encode())
    entries = [{"digest": digest, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in tags]
    (root / "index.json").write_text(json.dumps({"manifests": entries}))
    (root / "oci-layout").write_text("{}")
    return root


def test_a_layout_gives_the_passport_of_every_version_in_order(tmp_path):
    found = list(read_layout(str(layout(tmp_path, ("v10", "v2", "latest")))))
    assert [item.where.rpartition(":")[2] for item in found] == ["v2", "v10"]
    assert {item.passport for item in found} == {PASSPORT}


@pytest.mark.parametrize("damage", ["passport", "manifest", "index"])
def test_a_damaged_layout_is_told(tmp_path, damage):
    layout(tmp_path)
    if damage == "index":
        (tmp_path / "index.json").write_text('{"manifests": 3}')
    else:
        size = len(PASSPORT)
        for path in (tmp_path / "blobs/sha256").iterdir():
            if (path.stat().st_size == size) == (damage == "passport"):
                path.write_bytes(b"{}")
    (item,) = read_layout(str(tmp_path))
    assert item.fault
    assert not item.passport


def test_a_layout_inside_a_folder_is_read_by_the_wiring_and_by_no_other_adapter(tmp_path):
    layout(tmp_path / "a/layout").joinpath("blobs").mkdir(exist_ok=True)
    bundle = tmp_path / "b/m/1/promote"
    bundle.mkdir(parents=True)
    (bundle / "passport.json").write_bytes(PASSPORT)
    (tmp_path / "b/m/1/model.onnx").write_bytes(b"x")
    (tmp_path / "yolo.engine").write_bytes(b"x")
    first = list(find(str(tmp_path)))
    assert [bool(item.layout) for item in first if not item.model] == [True, False]
    items = list(open_wiring(None, Silent()).passports((str(tmp_path),)))
    assert [item.passport for item in items if not item.model] == [PASSPORT, PASSPORT]
    assert [item.model for item in items if item.model] == [str(tmp_path / "yolo.engine")]
    with pytest.raises(NotFound):
        list(find(str(tmp_path / "gone")))


def test_all_in_the_folder_of_a_promoted_version_belongs_to_its_bundle(tmp_path):
    """Its twin without a passport is a folder like any other."""
    for version in ("1", "2"):
        (tmp_path / "m" / version / "more").mkdir(parents=True)
        (tmp_path / "m" / version / "more/part.onnx").write_bytes(b"x")
    (tmp_path / "m/1/promote").mkdir()
    (tmp_path / "m/1/promote/passport.json").write_bytes(PASSPORT)
    items = list(find(str(tmp_path)))
    assert [item.passport for item in items if not item.model] == [PASSPORT]
    assert [item.model for item in items if item.model] == [str(tmp_path / "m/2/more/part.onnx")]
