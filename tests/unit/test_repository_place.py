"""Where a model repository may lie: forms that are taken, and those that are not."""

import pytest

from promote.core.repository_place import FolderPlace, S3Place, SshPlace, parse_place
from promote.core.target_rows import new_target
from promote.errors import InputError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models", FolderPlace("models")),
        ("/opt/triton/models", FolderPlace("/opt/triton/models")),
        ("s3://bucket/models", S3Place("bucket", "models")),
        ("s3://my.bucket-1/a/b_c/", S3Place("my.bucket-1", "a/b_c")),
        ("ssh://calypso/opt/models", SshPlace("", "calypso", 0, "/opt/models")),
        ("ssh://triton@10.0.0.1:2222/opt/models/", SshPlace("triton", "10.0.0.1", 2222, "/opt/models")),
    ],
)
def test_forms_of_a_place(text: str, place: object) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket", "s3://bucket/", "s3://B/x", "s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/a/.hidden", "s3:///x",
        "s3://http://h:9000/bucket/x", "ssh://host", "ssh://host/", "ssh://-oProxyCommand=x/y", "ssh://-u@host/y", "ssh://h:0/x",
        "ssh://h:70000/x", "ssh://h/a b", "ssh://h/$(x)", "ssh://h/a;b", "ssh://h/-x", "ssh://h/../x", "ssh://h/~/x", "gs://b/x",
        "file:///x", "ssh://u:canary-pw@h/x", "ssh://h/x\ny", "https://h/x",
    ],
)  # fmt: skip
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InputError, match="expected a folder, s3://bucket/prefix, or ssh://") as raised:
        parse_place(text)
    assert "canary" not in raised.value.message
    with pytest.raises(InputError, match="model_repository: expected a folder") as raised:
        new_target("t", {"device": "cpu", "model_repository": text}, "here")
    assert "canary" not in raised.value.message
