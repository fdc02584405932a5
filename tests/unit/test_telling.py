"""What commands tell the webhook of: what serves now, and of an agent's events those that are new."""

import json
from types import SimpleNamespace

import pytest

from promote.cli.deployed import tell_deployment
from promote.cli.sync_log import Log
from promote.cli.sync_rounds import Rounds
from promote.cli.telling import annotate, warn
from promote.core.agent import Event

DIGEST = "sha256:" + "1" * 64


class Wiring:
    """Keeps what is sent; answers with ``why``."""

    def __init__(self, webhook="https://h/x", why=""):
        self.settings = SimpleNamespace(events=SimpleNamespace(webhook=webhook))
        self.why, self.sent = why, []

    def tell(self, body):
        self.sent.append(json.loads(body))
        return self.why


def deployment():
    live = SimpleNamespace(name="ner", version=3, repository="ghcr.io/acme/ner", digest=DIGEST, by="ada@desk")
    return SimpleNamespace(live=live)


@pytest.mark.parametrize("kind", ["deployed", "rolled-back"])
def test_a_deployment_is_told(kind, capsys):
    wiring = Wiring()
    tell_deployment(wiring, kind, deployment(), "calypso")
    assert [told["text"] for told in wiring.sent] == [f"ner v3 {kind} on calypso by ada@desk"]
    assert wiring.sent[0]["data"]["digest"] == DIGEST
    assert capsys.readouterr() == ("", "")


def test_one_that_does_not_arrive_is_a_warning_and_where_none_is_named_nothing_is_sent(capsys):
    tell_deployment(Wiring(why="it answers 500"), "deployed", deployment(), "calypso")
    assert capsys.readouterr() == ("", "warning: events.webhook was not told of deployed: it answers 500\n")
    silent = Wiring(webhook="")
    tell_deployment(silent, "deployed", deployment(), "calypso")
    assert silent.sent == []


def test_an_agent_tells_what_is_new_and_once(capsys):
    rounds, wiring = Rounds(None, "", (), Log(as_json=False), 30.0), Wiring()
    refused = Event(kind="refused", model="ner", version=3, word="not approved", text="ner v3 waits", code=13)
    for event in (
        refused, refused, Event(kind="in-step", model="ner", version=2), Event(kind="desired", word="mlflow"),
        Event(kind="deployed", model="ner", version=3, digest=DIGEST, reference=f"h/ner@{DIGEST}"),
        Event(kind="failed", model="ner", version=4, code=15, text="it answers wrongly"),
    ):  # fmt: skip
        rounds.log.event("calypso", event)
        rounds._tell(wiring, "calypso", event, "root@host")
    assert [told["text"] for told in wiring.sent] == [
        "ner v3 refused on calypso by root@host: not approved: ner v3 waits",
        "ner v3 deployed on calypso by root@host",
        "ner v4 failed on calypso by root@host: it answers wrongly",
    ]
    wiring.why = "it did not answer in time"
    rounds._tell(wiring, "calypso", Event(kind="failed", model="ner", version=4, code=15), "root@host")
    assert (
        "calypso: webhook events.webhook was not told of failed: it did not answer in time\n" in capsys.readouterr().err
    )


def test_a_job_of_github_is_told_more(monkeypatch, capsys):
    annotate("error", "promote", "x")
    warn("plain")
    assert "::" not in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    annotate("error", "promote", "a\n::error::b")
    warn("late")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["::error title=promote::a\\u000a::error::b", "warning: late", "::warning title=promote::late"]
