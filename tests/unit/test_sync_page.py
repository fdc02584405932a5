"""docs/how-to/sync.md: its unit passes systemd's own check, its container files are as told, its names are the code's."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
import yaml

from promote.cli.main import promote
from promote.cli.sync_log import Log
from promote.core.agent import Agent
from promote.core.prometheus import Figures, exposition
from promote.core.review import APPROVED, Review
from promote.pipeline import review_model, sync
from tests.fakes.world import GUARDED, in_memory

PAGE = (Path(__file__).resolve().parents[2] / "docs/how-to/sync.md").read_text(encoding="utf-8")
PROMOTE = Path(sys.executable).parent / "promote"


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S)[1]


def directives(unit):
    return [line.partition("=")[::2] for line in unit.splitlines() if "=" in line and not line.startswith("#")]


def verify(folder, unit):
    """What ``systemd-analyze verify`` says of the unit, with a program that is there."""
    path = folder / "promote-sync.service"
    path.write_text(unit.replace("/opt/promote/bin/promote", str(PROMOTE)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    return done.returncode, "\n".join(line for line in done.stderr.splitlines() if "promote-sync" in line)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_passes_systemds_own_check_and_one_with_a_wrong_key_does_not(tmp_path):
    unit = block("ini")
    assert verify(tmp_path, unit) == (0, "")
    _, said = verify(tmp_path, unit.replace("ProtectSystem=strict", "ProtectSystem=stricter"))
    assert "Failed to parse protect system value" in said


def test_the_unit_is_hardened():
    told = dict(directives(block("ini")))
    assert told["NoNewPrivileges"] == told["ProtectHome"] == "yes"
    assert (told["ProtectSystem"], told["User"], told["StateDirectory"]) == ("strict", "promote", "promote")
    assert told["CapabilityBoundingSet"] == ""


def parsed(words):
    """The options of ``promote sync`` that these words come to; an unknown one ends the test."""
    at = words.index("sync")
    group = promote.make_context("promote", words[: at + 1])
    command = promote.get_command(group, words[at])
    return words[at], command.make_context(words[at], words[at + 1 :], parent=group).params


def test_the_commands_of_unit_and_container_are_promotes_own():
    words = shlex.split(dict(directives(block("ini")))["ExecStart"])
    name, options = parsed(words[1:])
    assert (name, options["names"], options["interval"], options["port"]) == ("sync", ("calypso",), "30s", 9464)
    lines = block("dockerfile").replace("\\\n", " ").splitlines()
    told = {line.split()[0]: line.partition(" ")[2] for line in lines}
    assert set(told) <= {"FROM", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert told["USER"] == "promote"
    entry = yaml.safe_load(told["ENTRYPOINT"]) + yaml.safe_load(told["CMD"])
    assert parsed(entry[1:])[0] == "sync"


def test_the_container_may_do_little():
    (service,) = yaml.safe_load(block("yaml"))["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/var/run/docker.sock" not in str(service["volumes"])


def test_the_metrics_are_those_of_the_code():
    figures = Figures(desired=1.0, success=1.0)
    figures.served["m"], figures.in_step["m"] = (1, "d"), True
    there = set(re.findall(r"^# TYPE (\S+)", exposition({"t": figures}, 2.0), re.M))
    table = PAGE.partition("## Metrics")[2].partition("## With systemd")[0]
    told = {("promote_sync" + n if n.startswith("_") else n) for n in re.findall(r"`((?:promote_sync)?_\w+)", table)}
    assert told == there


def test_options_of_the_page_exist():
    command = promote.get_command(click.Context(promote), "sync")
    known = {option for parameter in command.params for option in parameter.opts}
    asked = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert asked
    assert asked <= known


def plain(lines):
    """Without what differs from one run to the next: the time, the digest, how long it took."""
    lines = (re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", line.strip()) for line in lines)
    lines = (re.sub(r"sha256:[0-9a-f]{8,64}…?", "DIGEST", line) for line in lines)
    return [re.sub(r", \d+(\.\d+)? s$", ", SECONDS", line) for line in lines]


def test_the_lines_of_the_page_are_what_an_agent_says(capsys):
    """Version 3 waits for its review, then somebody agrees. The parts are in memory, the agent and its log are not."""
    bench, target = in_memory(), replace(GUARDED, name="calypso", keep=3)
    bench.name, bench.now = "ner", target
    for weight in (2.0, 3.0, 4.0):
        bench.promote(weight, target=target)
    bench.ledger.aliases["ner", "calypso"] = 3
    agent, log = Agent(target=target, by="root@calypso", memory={}, pause=30.0), Log(as_json=False)
    log.line("calypso", "started", text="every 30 s")
    for now in (1000.0, 1030.0, 1060.0):
        for event in sync(agent, bench, now):
            log.event("calypso", event)
        if now == 1000.0:
            review_model("ner", "v3", target, Review(state=APPROVED, by="ada", reason="fine"), bench)
    shown = re.search(r"promote sync --target calypso --interval 30s\n\n(.*?)\n\n", PAGE, re.S)[1].splitlines()
    assert plain(shown) == plain(capsys.readouterr().err.splitlines())
