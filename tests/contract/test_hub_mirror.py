"""A mirror on the Hugging Face Hub, by the library's own client: one commit a copy, the token for the Hub alone, and every reply
that a Hub may give told in one line. What every mirror does is held by ``test_mirror.py``; no live Hub was at hand.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.mirrors.hub import HubMirror
from promote.core.mirrors import HubPlace
from promote.core.model_card import MARK
from promote.core.passport import canonical
from promote.core.stages import Stored
from promote.errors import AuthError, InputError, IntegrityError, NotFound, PromoteError, Unavailable
from tests.fakes.hub import TOKEN, Fault, Hub, run_hub
from tests.fakes.mirrored import Mirrored
from tests.fakes.registry import FakeRegistry
from tests.unit.test_cli_golden import PASSPORT

BIG = bytes(range(256)) * 50


@pytest.fixture
def made(tmp_path: Path) -> Mirrored:
    return Mirrored(FakeRegistry(), tmp_path)


@pytest.fixture
def stored(made: Mirrored, hub: Hub) -> Stored:
    hub.repo("acme/ner")
    return made.push("ner", 1, more={"weights.bin": BIG}, passport=canonical(PASSPORT))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits here; what would have been waited."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def at(hub: Hub, revision: str = "main", repo: str = "acme/ner", **env: str) -> HubMirror:
    return HubMirror(HubPlace(repo, revision), {"HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url} | env)


def test_a_copy_is_one_commit_with_a_card(hub: Hub, made: Mirrored, stored: Stored) -> None:
    made.copy(stored, at(hub))
    repo = hub.repos["acme/ner"]
    assert repo.titles == ["initial commit", f"ner version 1, {stored.digest}"]
    tree = repo.commits[repo.branches["main"]]
    assert MARK.encode() in tree["README.md"]
    assert b"`f1 0.93`" in tree["README.md"]
    assert tree["ner/1/weights.bin"] == BIG
    asked = len(hub.asked)
    assert made.copy(stored, at(hub)).sent == 0
    assert len(repo.commits) == 2
    assert not [said for said, _ in hub.asked[asked:] if not said.startswith("GET ")]


def test_a_person_s_card_stays(hub: Hub, made: Mirrored, stored: Stored) -> None:
    hub.put("acme/ner", {"README.md": b"# Ours\n"})
    made.copy(stored, at(hub))
    repo = hub.repos["acme/ner"]
    assert repo.commits[repo.branches["main"]]["README.md"] == b"# Ours\n"
    made.copy(made.push("ner", 2, 3.0), at(hub))
    assert repo.commits[repo.branches["main"]]["README.md"] == b"# Ours\n"


def test_the_card_is_of_the_highest_version(hub: Hub, made: Mirrored, stored: Stored) -> None:
    made.copy(made.push("ner", 2, 3.0), at(hub))
    made.copy(stored, at(hub))
    repo = hub.repos["acme/ner"]
    assert b"| version | `2` |" in repo.commits[repo.branches["main"]]["README.md"]


def test_weights_go_in_parts_where_the_hub_says_so(hub: Hub, made: Mirrored, stored: Stored) -> None:
    hub.in_parts = True
    made.copy(stored, at(hub))
    assert sum("PUT /storage/" in said for said, _ in hub.asked) >= 3
    assert made.verify(stored, at(hub)) == []


def test_what_the_hub_has_under_another_name_is_not_sent(hub: Hub, made: Mirrored, stored: Stored) -> None:
    made.copy(stored, at(hub))
    asked = len(hub.asked)
    made.copy(made.push("ner", 2, 3.0, more={"weights.bin": BIG}), at(hub))
    sent = [said for said, _ in hub.asked[asked:] if said.startswith("PUT ")]
    weights = stored.files["ner/1/weights.bin"].digest.removeprefix("sha256:")
    assert sent
    assert f"PUT /storage/{weights}" not in sent


def test_another_branch(hub: Hub, made: Mirrored, stored: Stored) -> None:
    repo = hub.repos["acme/ner"]
    repo.branches["release/1"] = repo.branches["main"]
    made.copy(stored, at(hub, "release/1"))
    assert "ner/config.pbtxt" in repo.commits[repo.branches["release/1"]]
    assert "ner/config.pbtxt" not in repo.commits[repo.branches["main"]]
    with pytest.raises(NotFound, match="look at hf://acme/ner@nowhere: 404: Invalid rev id: nowhere"):
        made.copy(stored, at(hub, "nowhere"))


def test_a_public_mirror_is_verified_without_a_token(hub: Hub, made: Mirrored, stored: Stored) -> None:
    made.copy(stored, at(hub))
    asked = len(hub.asked)
    assert made.verify(stored, at(hub, HF_TOKEN="")) == []
    assert not [said for said, headers in hub.asked[asked:] if "authorization" in headers]
    hub.put("acme/ner", {"ner/1/model.onnx": None})
    with pytest.raises(AuthError, match="write to hf://acme/ner: HF_TOKEN is not set"):
        made.copy(stored, at(hub, HF_TOKEN=""))


def test_no_other_token_than_hf_token_is_sent(
    hub: Hub, made: Mirrored, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("hf_canary-of-a-file")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    made.copy(stored, at(hub))
    assert {headers.get("authorization") for _, headers in hub.asked} == {None, f"Bearer {TOKEN}"}
    asked = len(hub.asked)
    made.verify(stored, at(hub, HF_TOKEN=""))
    assert not [said for said, headers in hub.asked[asked:] if "authorization" in headers]
    assert not [said for said, _ in hub.asked if "xet" in said]


def test_somebody_else_commits_meanwhile(hub: Hub, made: Mirrored, stored: Stored) -> None:
    hub.between = lambda: hub.put("acme/ner", {"other.txt": b"x"})
    with pytest.raises(Unavailable, match=r"412: A commit has happened since.*somebody else wrote there meanwhile"):
        made.copy(stored, at(hub))
    hub.between = None
    made.copy(stored, at(hub))
    assert made.verify(stored, at(hub)) == []


@pytest.mark.parametrize("path", ["weights.bin", "manifest.json"])
def test_other_bytes_are_found_when_they_are_read_back(hub: Hub, made: Mirrored, stored: Stored, path: str) -> None:
    hub.damage = path
    with pytest.raises(IntegrityError, match=rf"hf://acme/ner: ner/1/.*{path} is sha256:.*, expected sha256:"):
        made.copy(stored, at(hub))
    hub.damage = ""
    assert made.verify(stored, at(hub)) == []


def test_a_file_that_the_repository_ignores_is_told(hub: Hub, made: Mirrored, stored: Stored) -> None:
    hub.put("acme/ner", {".gitignore": b".bin\n"})
    with pytest.raises(IntegrityError, match=r"hf://acme/ner/ner/1/weights\.bin is not there") as raised:
        made.copy(stored, at(hub))
    assert ".gitignore" in raised.value.hint


def error(status: int, words: str, **headers: str) -> Fault:
    return Fault(status, {"X-Error-Message": words, **headers}, f'{{"error": "{words}"}}'.encode())


REFUSALS: dict[str, tuple[str, Fault, type[PromoteError], str]] = {
    "wrong-token": ("preupload", error(401, "Invalid credentials"), AuthError, "401: Invalid credentials"),
    "no-right": (
        "/commit/",
        error(403, "Forbidden: pass a write token"),
        AuthError,
        "403: Forbidden: pass a write token",
    ),
    "no-repo": ("GET /api/models", error(404, "gone"), NotFound, "look at hf://acme/ner: 404: gone"),
    "conflict": ("/commit/", error(409, "Conflict"), Unavailable, "somebody else wrote there meanwhile"),
    "too-large": ("/commit/", error(413, "Payload Too Large"), InputError, "413: Payload Too Large"),
    "bad": (
        "validate-yaml",
        Fault(400, body=b'{"errors": [{"message": "no licence"}]}'),
        InputError,
        "400: no licence",
    ),
    "limit": ("preupload", error(429, "slow down", **{"Retry-After": "7200"}), Unavailable, "asks to wait 7200 s"),
    "limit-reset": ("preupload", error(429, "x", RateLimit='"api";r=0;t=300'), Unavailable, "asks to wait 300 s"),
    "limit-soon": ("preupload", error(429, "slow down", **{"Retry-After": "2"}), Unavailable, "429: slow down"),
    "down": ("objects/batch", error(503, "maintenance"), Unavailable, "503: maintenance"),
    "storage": ("PUT /storage", error(403, "signature expired"), AuthError, "403: signature expired"),
    "no-json": ("preupload", Fault(200, body=b"<html>"), IntegrityError, "does not answer as the Hub does"),
    "no-fields": ("preupload", Fault(200, body=b'{"files": [1]}'), IntegrityError, "does not answer as the Hub does"),
    "no-list": ("/tree/", Fault(200, body=b'[{"type": "file"}]'), IntegrityError, "does not answer as the Hub does"),
    "lfs-error": (
        "objects/batch",
        Fault(200, body=b'{"objects": [{"oid": "0", "size": 1, "error": {"code": 422, "message": "quota"}}]}'),
        IntegrityError,
        "quota",
    ),
    "echo": ("preupload", error(403, f"who is {TOKEN}"), AuthError, "403: who is ***"),
    "lines": ("preupload", Fault(403, body=b'{"error": "a\\nb\\u001b[31m"}'), AuthError, r"403: a b\u001b[31m"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_is_one_clear_line(
    name: str, hub: Hub, made: Mirrored, stored: Stored, at_once: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    where, fault, kind, words = REFUSALS[name]
    hub.faults[where] = fault
    caplog.set_level(logging.INFO)
    with pytest.raises(PromoteError) as raised:
        made.copy(stored, at(hub))
    told = raised.value.message
    assert type(raised.value) is kind, told
    assert words in told
    assert "\n" not in told
    assert TOKEN not in told + raised.value.hint + caplog.text
    assert sum(at_once) < 60
    assert len(hub.repos["acme/ner"].commits) == 1
    hub.faults.clear()
    made.copy(stored, at(hub))


def test_a_server_that_is_down_for_a_moment_is_asked_again(
    hub: Hub, made: Mirrored, stored: Stored, at_once: list[float]
) -> None:
    for where in ("preupload", "objects/batch", "PUT /storage"):
        hub.faults[where] = Fault(503, times=1)
    hub.faults["GET /storage"] = Fault(502, times=2)
    made.copy(stored, at(hub))
    assert len(at_once) >= 5
    assert made.verify(stored, at(hub)) == []


@pytest.mark.parametrize("where", ["GET /api/models/acme/ner/revision", "preupload", "objects/batch", "/commit/"])
def test_the_hub_s_questions_are_not_taken_elsewhere(hub: Hub, made: Mirrored, stored: Stored, where: str) -> None:
    with run_hub() as other:
        other.repo("acme/ner")
        hub.faults[where] = Fault(307, {"Location": f"{other.url}/api/models/acme/ner"})
        with pytest.raises(IntegrityError, match=rf"redirects to {other.url}, another origin"):
            made.copy(stored, at(hub))
        assert other.asked == []


def test_a_redirect_within_the_hub_is_followed(hub: Hub, made: Mirrored, stored: Stored) -> None:
    hub.repos["acme/new"] = hub.repos.pop("acme/ner")  # renamed: the Hub leads from the old name to the new one
    hub.faults["^GET /api/models/acme/ner/revision/main$"] = Fault(
        307, {"Location": "/api/models/acme/new/revision/main"}
    )
    commit = hub.repos["acme/new"].branches["main"]
    hub.faults[f"^GET /api/models/acme/ner/tree/{commit}/ner$"] = Fault(
        307, {"Location": f"/api/models/acme/new/tree/{commit}/ner"}
    )
    assert at(hub).sizes("ner") == {}


def test_the_token_is_asked_for_nowhere_else(hub: Hub, made: Mirrored, stored: Stored) -> None:
    with run_hub() as other:
        oid = stored.files["ner/1/weights.bin"].digest.removeprefix("sha256:")
        action = f'{{"href": "{hub.url}/storage/{oid}"}}'
        evil = f'{{"href": "{other.url}/verify"}}'
        told = f'{{"oid": "{oid}", "size": {len(BIG)}, "actions": {{"upload": {action}, "verify": {evil}}}}}'
        hub.faults["objects/batch"] = Fault(200, body=f'{{"objects": [{told}]}}'.encode())
        with pytest.raises(AuthError, match=rf"asks for the token at {other.url}"):
            made.copy(stored, at(hub))
        assert other.asked == []


def test_storage_elsewhere_gets_no_token_and_is_held_to_the_digest(hub: Hub, made: Mirrored, stored: Stored) -> None:
    made.copy(stored, at(hub))
    with run_hub() as storage:
        digest = stored.files["ner/1/weights.bin"].digest.removeprefix("sha256:")
        storage.objects = hub.objects
        hub.faults[r"/resolve/.*/ner/1/weights\.bin"] = Fault(
            302, {"Location": f"{storage.url}/storage/{digest}?path=x"}
        )
        assert made.verify(stored, at(hub)) == []
        assert [headers.get("authorization") for _, headers in storage.asked] == [None]
        storage.objects = {digest: BIG + b"more" * 1_000_000}
        assert [one.split()[0] for one in made.verify(stored, at(hub))] == ["ner/1/weights.bin"]


@pytest.mark.parametrize(
    "there", ["http://192.0.2.1/x", "ftp://example.com/x", "file:///etc/passwd", "http://[::ffff", ""]
)
def test_a_redirect_to_an_open_line_is_refused(hub: Hub, made: Mirrored, stored: Stored, there: str) -> None:
    made.copy(stored, at(hub))
    hub.faults[r"/resolve/.*/ner/1/weights\.bin"] = Fault(302, {"Location": there})
    with pytest.raises((IntegrityError, Unavailable)) as raised:
        made.verify(stored, at(hub))
    assert "read hf://acme/ner/ner/1/weights.bin" in raised.value.message


@pytest.mark.parametrize(
    "url",
    ["http://huggingface.co", "https://user:canary@hub.example", "hub.example", "https://hub.example/?x=1", "https://"],
)
def test_an_endpoint_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # whatever the environment says
    with pytest.raises(InputError, match="HF_ENDPOINT is no address of a Hub") as raised:
        HubMirror(HubPlace("acme/ner", "main"), {"HF_ENDPOINT": url})
    assert "canary" not in raised.value.message


@pytest.mark.parametrize("token", ["hf_a b", "hf_\n\u00e9", "hf_a\x00"])
def test_a_token_that_is_none(token: str, hub: Hub) -> None:
    with pytest.raises(AuthError, match="HF_TOKEN is no token") as raised:
        at(hub, HF_TOKEN=token)
    assert "hf_a" not in raised.value.message


def test_a_server_that_does_not_answer_is_unavailable(made: Mirrored, stored: Stored, hub: Hub) -> None:
    nobody = HubMirror(HubPlace("acme/ner", "main"), {"HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable, match=r"look at hf://acme/ner: .*refused") as raised:
        made.verify(stored, nobody)
    assert "HF_ENDPOINT" in raised.value.hint


def test_a_hub_that_may_not_be_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        at(hub)


def test_without_the_library_the_extra_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def none(name: str, *args: Any, **more: Any) -> Any:
        if name == "huggingface_hub":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(InputError, match="needs huggingface_hub") as raised:
        at(hub)
    assert raised.value.hint == "pip install 'promote[hf]'"
