"""What commands tell a webhook, and that its silence changes nothing; what a job of GitHub Actions is told."""

from __future__ import annotations

import pytest

from tests.contract.test_events_out import SECRET, receiver  # noqa: F401
from tests.e2e.project import Project
from tests.fakes.factory import log_run
from tests.parts.registry import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.slow]

NOWHERE = 'http = "127.0.0.1:1"\ngrpc = "127.0.0.1:1"\nmodel_repository = "models"\n'
HERE = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n'


def test_a_release_is_told_from_push_to_refusal_and_silence_changes_nothing(tmp_path, sqlite_uri, receiver):  # noqa: F811
    project = Project(tmp_path, sqlite_uri)
    project.write(quay=HERE + NOWHERE, pier=HERE + NOWHERE)
    toml = project.folder / "promote.toml"
    plain = toml.read_text()
    toml.write_text(f'events.webhook = "{receiver.url}"\n' + plain)
    env = {"PROMOTE_EVENTS_SECRET": SECRET}

    made = project("model", log_run(sqlite_uri, {"ner": "onnx"}), "--target", "quay", "--name", "told", env=env)
    project("deploy", "told:v1", "--target", "quay", code=13, env=env)
    project("review", "reject", "told:v1", "--target", "quay", "--reason", "<!channel> drops ships", env=env)
    project("review", "approve", "told:v1", "--target", "quay", "--reason", "reads well", env=env)
    assert receiver.refused == []
    assert [told["type"] for told in receiver.taken] == [
        "promote.pushed", "promote.refused", "promote.rejected", "promote.approved",
    ]  # fmt: skip
    assert {told["data"]["model"] for told in receiver.taken} == {"told"}
    assert receiver.taken[0]["data"]["reference"] == made.last
    assert receiver.taken[1]["data"]["reason"].startswith("not approved")
    assert "&lt;!channel&gt;" in receiver.taken[2]["text"]
    for _ in range(2):
        project("model", "told:v1", "--target", "pier", env=env)  # what was there already is not told again
    project("push", "told:v1", "--from", "oci:bundles", "--registry", "oci:other", "--target", "quay", code=14, env=env)
    project("withdraw", "told:v1", "--reason", "drops ships in fog", env=env)
    assert [(told["type"], told["data"].get("target")) for told in receiver.taken[4:]] == [
        ("promote.requested", "pier"), ("promote.pushed", "quay"), ("promote.withdrawn", None),
    ]  # fmt: skip
    assert receiver.taken[6]["text"].startswith("told v1 withdrawn by ")
    assert receiver.taken[5]["data"]["reference"].split("/")[-2:] == ["other", made.last.rpartition("/")[2]]

    for webhook, given, why in (
        (f"http://127.0.0.1:{free_port()}/canary-7f3a", env, "cannot be reached"),
        (receiver.url, {}, "PROMOTE_EVENTS_SECRET is not set"),
        ("http://chat.example.com/canary-7f3a", env, "https://"),
    ):
        toml.write_text(f'events.webhook = "{webhook}"\n' + plain)
        said = project("review", "reject", "told:v1", "--target", "quay", "--reason", "again", env=given)
        assert "warning: events.webhook was not told of rejected: " in said.err
        assert why in said.err
        assert "canary" not in said.err
        assert said.last == made.last
    assert len(receiver.taken) == 7

    toml.write_text(plain)
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada"}
    said = project("deploy", "told:v1", "--target", "quay", code=14, env=job).err
    assert (
        [line for line in said.splitlines() if line.startswith("::")]
        == [line for line in said.splitlines() if line.startswith("::error title=rejected::")]
        != []
    )
    said = project("deploy", "told:v1", "--target", "none\n::error::x", code=3, env=job).err
    assert len([line for line in said.splitlines() if line.startswith("::")]) == 1
    assert "::" not in project("deploy", "told:v1", "--target", "quay", code=14).err


@pytest.mark.triton
def test_what_serves_is_told_and_a_receiver_that_is_away_delays_no_answer(tmp_path, sqlite_uri, receiver, triton):  # noqa: F811
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    project = Project(tmp_path, sqlite_uri)
    project.write(harbour=HERE + "review = false\n" + where)
    toml = project.folder / "promote.toml"
    plain = toml.read_text()
    toml.write_text(f'events.webhook = "{receiver.url}"\n' + plain)
    env = {"PROMOTE_EVENTS_SECRET": SECRET}
    for kind in ("onnx", "transformers"):
        project("model", log_run(sqlite_uri, {"ner": kind}), "--target", "harbour", "--name", "told-live")
    first = project("deploy", "told-live:v1", "--target", "harbour", env=env)
    toml.write_text(f'events.webhook = "http://127.0.0.1:{free_port()}/x"\n' + plain)
    second = project("deploy", "told-live:v2", "--target", "harbour", "--json", env=env)
    assert second.json["version"] == 2
    assert "warning: events.webhook was not told of deployed" in second.err
    toml.write_text(f'events.webhook = "{receiver.url}"\n' + plain)
    project("rollback", "told-live", "--target", "harbour", env=env)
    assert receiver.refused == []
    assert [(told["type"], told["data"]["version"], told["data"]["reference"]) for told in receiver.taken] == [
        ("promote.deployed", 1, first.last), ("promote.rolled-back", 1, first.last),
    ]  # fmt: skip
