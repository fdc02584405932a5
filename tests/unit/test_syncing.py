"""The agent's rounds on parts in memory: what it brings, what it leaves, how it waits, and what the reviewer is told."""

from dataclasses import replace

import pytest

from promote.core.agent import Agent, Remembered, Wanted, pause_after, seconds, tag_of
from promote.core.facts import Fact
from promote.core.prometheus import Figures, exposition
from promote.core.review import APPROVED, REJECTED, Review
from promote.errors import DeployFailed, Interrupted, Unavailable
from promote.pipeline import review_model, rollback, sync
from promote.pipeline.withdrawing import withdraw
from tests.fakes.world import DESK, GUARDED, Bench, fail, in_memory

AGENT = "root@host-1"


class Host:
    """An agent on the bench; time is ``now``."""

    def __init__(self, bench: Bench, target=DESK, by=AGENT, **more):
        self.bench, self.now = bench, 1000.0
        self.agent = Agent(target=target, by=by, memory={}, pause=30.0, **more)

    def round(self):
        return [event for event in sync(self.agent, self.bench, self.now) if event.kind not in ("answers", "desired")]

    def kinds(self):
        return [event.kind for event in self.round()]

    @property
    def live(self):
        current = self.bench.store.current("times")
        return current.version if current else None

    def told(self, version):
        return self.bench.ledger.versions_of["times"][version].agents.get((self.agent.target.name, "host-1"), "")


@pytest.fixture
def bench():
    return in_memory()


@pytest.fixture
def host(bench):
    """Two versions are promoted; the first is desired."""
    bench.promote(2.0)
    bench.promote(3.0)
    want(bench, 1)
    return Host(bench)


def want(bench, version, target=DESK):
    bench.ledger.aliases["times", target.name] = version


def loads(bench):
    return [words for words in bench.server.asked if words[0] == "load"]


def mlflow_down(bench, *methods):
    for method in methods or ("desired", "deployed", "report", "review"):
        setattr(bench.ledger._part, method, fail(Unavailable("MLflow is away")))


def mlflow_up(bench):
    for method in ("desired", "deployed", "report", "review"):
        vars(bench.ledger._part).pop(method, None)


def test_what_is_desired_is_brought_and_then_left_alone(host):
    assert host.kinds() == ["deployed"]
    assert (host.live, host.bench.answers()) == (1, {1: 2.0})
    host.bench.log.clear()
    before = len(loads(host.bench))
    assert [host.kinds() for _ in range(3)] == [["in-step"]] * 3
    assert len(loads(host.bench)) == before
    assert host.bench.log == ["ledger.desired"] * 3  # and nothing is written
    want(host.bench, 2)
    assert host.kinds() == ["deployed"]
    assert host.bench.answers() == {2: 3.0}


def test_a_model_without_the_alias_is_not_touched(host):
    del host.bench.ledger.aliases["times", "desk"]
    assert host.kinds() == []
    assert host.live is None


def test_the_alias_moved_while_the_agent_deploys_is_not_moved_back(host):
    """Somebody asks for version 2 while version 1 is on its way."""
    host.bench.server.trouble = lambda versions: want(host.bench, 2)
    assert host.kinds() == ["deployed"]
    assert host.bench.ledger.aliases["times", "desk"] == 2
    assert host.kinds() == ["deployed"]
    assert host.live == 2


@pytest.mark.parametrize(
    ("state", "word"), [("pending", "not approved"), (REJECTED, "rejected")]
)  # fmt: skip
def test_what_is_not_approved_is_not_deployed_and_the_reviewer_is_told_once(host, state, word):
    bench, host = host.bench, Host(host.bench, GUARDED)
    digest = bench.ledger.versions_of["times"][1].digest
    bench.ledger.versions_of["times"][1].reviews["desk"] = Review(state=state, digest=digest, by="eve", reason="no")
    for _ in range(3):
        (event,) = host.round()
        assert (event.kind, event.word) == ("refused", word)
    assert host.live is None
    assert bench.log.count("ledger.report") == 1
    assert host.told(1).startswith(f"{word}: ")
    assert bench.log.count("registry.fetch") == 0
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada", reason="yes"), bench)
    assert host.kinds() == ["deployed"]  # at the next look, without a pause
    assert host.told(1) == f"live {digest}"


def test_the_agent_does_not_go_to_what_was_withdrawn_whatever_the_alias_says(host):
    host.round()
    withdraw("times", "v2", host.bench.actor, "drops ships", host.bench)
    want(host.bench, 2)
    for _ in range(2):
        (event,) = host.round()
        assert (event.kind, event.word) == ("refused", "rejected")
    assert (host.live, host.bench.answers()) == (1, {1: 2.0})
    assert "was withdrawn by ada@desk: drops ships" in host.told(2)


def test_what_the_rules_refuse_is_told_and_not_fetched_again_at_once(host):
    host.bench.now = replace(DESK, host=replace(DESK.host, memory_bytes=None, triton=None))
    (event,) = host.round()
    assert (event.kind, event.word) == ("refused", "undecided")
    assert host.told(1).startswith("undecided: ")
    assert host.kinds() == ["waiting"]
    assert host.bench.log.count("registry.fetch") == 1
    host.now += 31
    assert host.kinds() == ["refused"]
    host.now += 31
    assert host.kinds() == ["waiting"]  # 60 s now
    assert host.bench.log.count("ledger.report") == 1


def test_what_was_agreed_to_on_another_host_is_not_fetched_in_every_round_and_never_waits_long(bench):
    bench.promote(2.0, GUARDED)
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada"), bench)
    want(bench, 1)
    host = Host(bench, GUARDED)
    now_is, bench.now = bench.now, replace(DESK, host=replace(DESK.host, triton=Fact("24.10", "test")))
    (event,) = host.round()
    assert (event.kind, event.word) == ("refused", "not approved")
    assert host.kinds() == ["waiting"]
    assert bench.log.count("registry.fetch") == 1
    for _ in range(8):
        host.now += 301
        assert host.kinds() == ["refused"]
    assert bench.log.count("ledger.report") == 1
    bench.now = now_is
    host.now += 301
    assert host.kinds() == ["deployed"]


def test_a_failed_digest_is_tried_again_with_growing_pauses_and_told_once(host):
    host.round()
    host.bench.server.refuses["times", 2] = "out of memory"
    want(host.bench, 2)
    tries, came = [], []
    for second in range(0, 1000, 10):
        host.now = 2000.0 + second
        (event,) = host.round()
        came.append(event.kind)
        if event.kind == "failed":
            tries.append(second)
    assert tries == [0, 30, 90, 210, 450, 930]
    assert set(came) == {"failed", "waiting"}
    assert host.bench.answers() == {1: 2.0}
    assert host.told(2).startswith("failed: load times: version 2: out of memory")
    assert host.bench.log.count("ledger.report") == 2  # live 1, failed 2
    del host.bench.server.refuses["times", 2]
    host.now = 4000.0
    assert host.kinds() == ["deployed"]
    assert host.told(2).startswith("live sha256:")


def test_another_version_does_not_wait_for_the_pause_of_the_one_that_failed(host):
    host.bench.server.refuses["times", 1] = "out of memory"
    assert host.kinds() == ["failed"]
    want(host.bench, 2)
    assert host.kinds() == ["deployed"]


def test_a_registry_that_is_down_is_tried_again_and_not_worth_a_word_to_the_reviewer_at_first(host):
    host.bench.registry._part.find = fail(Unavailable("registry is away"))
    (event,) = host.round()
    assert (event.kind, event.code) == ("failed", 5)
    assert host.told(1) == ""
    host.now += 31
    assert host.kinds() == ["failed"]
    assert host.told(1) == "failed: registry is away"
    del host.bench.registry._part.find
    host.now += 300  # never longer, where something was down
    assert host.kinds() == ["deployed"]


def test_a_server_that_was_started_anew_gets_its_live_version_back_without_registry_or_mlflow(host):
    host.round()
    host.bench.server.loaded.clear()
    mlflow_down(host.bench)
    host.bench.registry._part.fetch = host.bench.registry._part.find = fail(Unavailable("away"))
    assert "restored" in host.kinds()
    assert host.bench.answers() == {1: 2.0}


def left(host, version):
    """A version that answers although the record says another one is live: left by a kill, or loaded by hand."""
    host.bench.store.policy["times"] = (1, version)
    host.bench.server.load("times")


@pytest.mark.parametrize("former", [True, False], ids=["retired", "never deployed"])
def test_a_version_that_answers_beside_the_live_one_goes(host, former):
    if former:
        for version in (2, 1):
            want(host.bench, version)
            host.round()
    else:
        host.round()
        stored = host.bench.registry.resolve("times", "v2")
        with host.bench.store.staging(stored) as folder:
            host.bench.store.place(stored, host.bench.registry.fetch(stored, folder, host.bench.progress))
    left(host, 2)
    assert host.bench.answers() == {1: 2.0, 2: 3.0}
    came = host.round()
    assert [(event.kind, event.version, event.text) for event in came] == [
        ("restored", 1, "v2 answered beside it"),
        ("in-step", 1, ""),
    ]
    assert host.bench.answers() == {1: 2.0}
    assert host.kinds() == ["in-step"]


def test_two_versions_that_answer_while_somebody_deploys_are_left_to_them(host):
    for version in (2, 1):
        want(host.bench, version)
        host.round()
    left(host, 2)
    with host.bench.store.lock("times"):
        assert host.kinds() == ["in-step"]
    assert host.bench.answers() == {1: 2.0, 2: 3.0}
    assert host.kinds() == ["restored", "in-step"]


def test_a_deployment_that_ends_while_the_agent_waits_for_the_lock_is_not_undone(host):
    """The agent saw version 1 live and not loaded; by the time it has the lock, version 2 is live."""
    for version in (2, 1):
        want(host.bench, version)
        host.round()
    store, lock = host.bench.store, host.bench.store.lock
    host.bench.server.loaded.clear()

    def late(name):
        store.lock = lock
        rollback("times", DESK, "ada@desk", host.bench)
        return lock(name)

    store.lock = late
    assert host.kinds() == ["in-step"]
    assert (host.live, host.bench.answers()) == (2, {2: 3.0})


def test_a_live_version_that_does_not_come_back_is_tried_with_pauses_too(host):
    host.round()
    host.bench.server.loaded.clear()
    host.bench.server.refuses["times", 1] = "gone bad"
    assert host.kinds() == ["failed", "in-step"]
    assert host.kinds() == ["waiting", "in-step"]
    del host.bench.server.refuses["times", 1]
    host.now += 31
    assert host.kinds() == ["restored", "in-step"]


def test_a_server_that_is_down_is_said_and_nothing_else_is_asked(host):
    host.bench.server.down = True
    (event,) = host.round()
    assert (event.kind, event.code) == ("unreachable", 5)
    host.bench.server.down = False
    assert host.kinds() == ["deployed"]


def test_a_rollback_that_mlflow_missed_is_told_before_the_alias_is_followed(host):
    host.round()
    want(host.bench, 2)
    host.round()
    mlflow_down(host.bench)
    rollback("times", DESK, "ada@desk", host.bench)
    mlflow_up(host.bench)
    assert host.bench.ledger.aliases["times", "desk"] == 2  # not yet told
    assert host.kinds() == ["caught-up", "in-step"]
    assert (host.live, host.bench.ledger.aliases["times", "desk"]) == (1, 1)


def test_a_wish_made_while_a_rollback_was_not_told_yet_is_not_overruled(host):
    host.bench.promote(4.0)
    host.round()
    want(host.bench, 2)
    host.round()
    mlflow_down(host.bench)
    rollback("times", DESK, "ada@desk", host.bench)
    mlflow_up(host.bench)
    want(host.bench, 3)
    assert host.kinds() == ["caught-up", "deployed"]
    assert (host.live, host.bench.ledger.aliases["times", "desk"]) == (3, 3)


def tag(bench, version):
    manifests = bench.registry._part.manifests
    manifests["times", "desk"] = manifests["times", f"v{version}"]


def test_without_mlflow_a_fresh_host_follows_the_registrys_tag(bench):
    bench.promote(2.0)
    tag(bench, 1)
    mlflow_down(bench)
    host = Host(bench, models=("times",))
    assert host.kinds() == ["deployed"]
    assert Host(bench).live == 1


def test_without_mlflow_an_old_tag_is_not_followed_and_one_that_is_moved_then_is(host):
    want(host.bench, 2)
    host.round()
    tag(host.bench, 1)  # from long ago
    mlflow_down(host.bench)
    for _ in range(3):
        host.round()
    assert host.live == 2
    host.bench.promote(4.0)
    tag(host.bench, 3)
    assert host.kinds() == ["deployed"]
    mlflow_up(host.bench)
    assert host.kinds() == ["caught-up", "in-step"]
    assert (host.live, host.bench.ledger.aliases["times", "desk"]) == (3, 3)


def test_without_mlflow_a_tag_that_was_moved_away_and_back_is_followed_each_time(host):
    host.round()
    tag(host.bench, 2)
    mlflow_down(host.bench)
    assert host.kinds() == []
    for version, kinds in ((1, ["in-step"]), (2, ["deployed"]), (1, ["deployed"])):
        tag(host.bench, version)
        assert host.kinds() == kinds
        assert host.live == version


def test_without_mlflow_what_needs_a_review_is_not_deployed(bench):
    bench.promote(2.0, GUARDED)
    tag(bench, 1)
    mlflow_down(bench)
    host = Host(bench, GUARDED, models=("times",))
    assert host.kinds() == ["failed"]
    assert host.live is None


def test_a_report_that_mlflow_did_not_take_is_made_later(host):
    mlflow_down(host.bench, "report")
    assert host.kinds() == ["deployed", "unreachable"]
    mlflow_up(host.bench)
    assert host.kinds() == ["in-step"]
    assert host.told(1).startswith("live sha256:")


def test_each_host_of_a_target_says_what_came_of_it_for_itself(host):
    host.round()
    Host(host.bench, by="root@host-2").round()
    assert sorted(host.bench.ledger.versions_of["times"][1].agents) == [("desk", "host-1"), ("desk", "host-2")]


def test_a_stop_in_the_middle_of_a_deployment_puts_the_former_version_back_and_is_no_failure(host):
    host.round()
    want(host.bench, 2)

    def stop(versions):
        host.bench.server.trouble = lambda versions: None
        raise Interrupted("stopped by SIGTERM")

    host.bench.server.trouble = stop
    with pytest.raises(Interrupted):
        host.round()
    assert (host.live, host.bench.answers()) == (1, {1: 2.0})
    assert host.agent.of("times").failures == 0
    assert host.kinds() == ["deployed"]


def test_what_one_model_comes_to_does_not_stop_the_others(host):
    host.bench.promote(5.0, name="alone")
    want(host.bench, 1)
    host.bench.ledger.aliases["alone", "desk"] = 1
    host.bench.server.refuses["alone", 1] = "no"
    assert [(e.model, e.kind) for e in host.round()] == [("alone", "failed"), ("times", "deployed")]


# values


def test_pauses_double_up_to_an_hour_or_five_minutes_where_something_was_down():
    assert [pause_after(n, 30, 15) for n in (1, 2, 3, 7, 8, 99)] == [30, 60, 120, 1920, 3600, 3600]
    assert [pause_after(n, 30, 5) for n in (1, 4, 5, 99)] == [30, 240, 300, 300]
    assert pause_after(5, 7200, 5) == 7200


@pytest.mark.parametrize(
    ("text", "found"),
    [("30", 30), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("0", None), ("0.5s", None), ("-1", None), ("1d", None), ("", None)],
)  # fmt: skip
def test_an_interval_is_a_number_and_a_unit(text, found):
    assert seconds(text) == found


def test_a_target_called_like_a_version_has_a_tag_that_is_none():
    assert [tag_of(name) for name in ("calypso", "v2", "latest")] == ["calypso", "target-v2", "target-latest"]


def test_a_memory_without_failures_waits_for_nothing():
    known = Remembered().came(Wanted(version=1, reference="v1"), "live", 0, "live x")
    assert not known.waits("v1", 0.0)
    assert known.failed(Wanted(version=1, reference="v1"), DeployFailed.exit_code, "x", 10.0, 30.0).waits("v1", 39.9)


def test_metrics_are_in_prometheus_text_format():
    figures = Figures(deploys=2, failures=1, desired=90.0, success=80.5, source="mlflow")
    figures.served["ner"], figures.in_step["ner"] = (3, 'sha256:"a\\\n'), True
    text = exposition({"prod": figures}, 100.0)
    assert 'promote_sync_deploys_total{target="prod"} 2\n' in text
    assert 'promote_sync_failures_total{target="prod"} 1\n' in text
    assert 'promote_sync_desired_age_seconds{target="prod",source="mlflow"} 10\n' in text
    assert 'promote_sync_last_success_timestamp_seconds{target="prod"} 80.500\n' in text
    assert 'promote_sync_in_step{target="prod",model="ner"} 1\n' in text
    assert r'promote_sync_served_info{target="prod",model="ner",version="3",digest="sha256:\"a\\\n"} 1' + "\n" in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert len({line.rpartition(" ")[0] for line in samples}) == len(samples)
    assert "desired_age_seconds{" not in exposition({"prod": Figures()}, 100.0)
