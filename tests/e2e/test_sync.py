"""``promote sync`` on real parts that are killed and started anew beside it: Triton, the registry, MLflow."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.factory import log_run
from tests.parts.registry import free_port
from tests.parts.restarts import Daemon, TritonDaemon, mlflow_daemon, registry_daemon

pytestmark = [
    pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.triton, pytest.mark.registry, pytest.mark.slow,
    pytest.mark.timeout(900),  # what starts and promotes here took 260 s on a host with a load of 20
]  # fmt: skip

HERE = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n'
NAME = "sync-ner"
SECONDS = 120


@dataclass
class Site:
    """A host with its agent's settings, and what it talks to."""

    project: Project
    triton: TritonDaemon
    registry: Daemon
    host: str
    mlflow: Daemon
    digests: dict[int, str] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(self.project.uri, self.project.uri)

    def want(self, version: int) -> None:
        self.client.set_registered_model_alias(NAME, "harbour", str(version))

    def approve(self, version: int) -> None:
        self.project("review", "approve", f"{NAME}:v{version}", "--target", "harbour", "--reason", "fine")

    def live(self) -> int:
        """The version that serves, one of two that are approved; the first test begins before that."""
        if not (self.triton.repository / NAME).exists():
            self.want(1)
            for version in (1, 2):
                self.approve(version)
            self.project("sync", "--target", "harbour", "--once")
        models = self.project("status", "--target", "harbour", "--fast", "--json", code=None).json["models"]
        return int(models[0]["deployed"]["version"])

    def told(self, version: int) -> str:
        tags = self.client.get_model_version(NAME, str(version)).tags
        return tags.get(f"promote.sync.harbour.{socket.gethostname()}", "")

    def answers(self, version: int) -> bool:
        import tritonclient.http as wire

        return bool(wire.InferenceServerClient(self.triton.running.http).is_model_ready(NAME, str(version)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, triton_carrier: Path, _migrated: Path) -> Iterator[Site]:
    """Two versions are promoted for ``harbour``, which asks for a review; nothing is approved or desired."""
    folder = tmp_path_factory.mktemp("sync")
    with ExitStack() as stack:
        registry, host = registry_daemon(folder / "registry")
        mlflow, address = mlflow_daemon(folder / "mlflow", _migrated)
        triton = TritonDaemon(triton_carrier, folder / "triton")
        for part in (registry, mlflow, triton):
            stack.callback(part.kill)
            part.start()
        (folder / "host").mkdir()
        project = Project(folder / "host", address)
        nowhere = 'http = "127.0.0.1:1"\ngrpc = "127.0.0.1:1"\nmodel_repository = "none"\n'
        quay = HERE + "review = false\n" + triton.lines  # the same server, no review
        project.write(harbour=HERE + triton.lines, quay=quay, island=HERE + nowhere)
        toml = project.folder / "promote.toml"
        toml.write_text(f'registry.url = "http://{host}/acme"\n' + toml.read_text())
        site = Site(project, triton, registry, host, mlflow)
        for version in (1, 2):
            made = project("model", log_run(address, {"ner": "onnx"}), "--target", "harbour", "--name", NAME)
            site.digests[version] = made.last.partition("@")[2]
        yield site


@dataclass
class Running:
    """An agent, and the events that it says."""

    process: subprocess.Popen[str]
    lines: queue.Queue[str]
    seen: list[str] = field(default_factory=list)

    def line(self, wanted: Callable[[str], bool]) -> str:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                self.seen.append(self.lines.get(timeout=1))
            except queue.Empty:
                assert self.process.poll() is None, self.seen
                continue
            if wanted(self.seen[-1]):
                return self.seen[-1]
        pytest.fail("\n".join(self.seen))

    def event(self, kind: str, **more: Any) -> dict[str, Any]:
        """The next event of that kind."""
        return json.loads(self.line(lambda line: (more | {"event": kind}).items() <= json.loads(line).items()))

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.seen
        while True:
            try:
                self.seen.append(self.lines.get(timeout=1))
            except queue.Empty:
                return "\n".join(self.seen)


@contextmanager
def agent(project: Project, *options: str, form: str = "json", env: dict[str, str] | None = None) -> Iterator[Running]:
    command = [PROMOTE, "sync", "--target", "harbour", "--interval", "1s", "--log", form, *options]
    process = subprocess.Popen(
        command, cwd=project.folder, env=clean(env), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line.rstrip()) for line in process.stderr], daemon=True)
    reader.start()
    try:
        yield Running(process, lines)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(5)


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def test_the_agent_waits_for_the_review_and_outlives_everything_around_it(site: Site) -> None:
    port = free_port()
    site.want(1)
    with agent(site.project, "--metrics", str(port), "--metrics-file", "sync.prom") as running:
        running.event("refused", model=NAME, version=1, word="not approved")
        time.sleep(3)
        assert site.told(1) == f"not approved: {NAME} v1 waits for a review for harbour"
        assert not (site.triton.repository / NAME).exists()

        site.approve(1)
        came = running.event("deployed", model=NAME, version=1)
        assert came["digest"] == site.digests[1]
        assert site.answers(1)
        time.sleep(2)  # for the next round to write the file
        text = scraped(port)
        assert 'promote_sync_deploys_total{target="harbour"} 1' in text
        assert (
            f'promote_sync_served_info{{target="harbour",model="{NAME}",version="1",digest="{site.digests[1]}"}} 1'
            in text
        )
        assert 'promote_sync_refusals_total{target="harbour"} 1' in text
        assert "promote_sync_deploys_total" in (site.project.folder / "sync.prom").read_text()
        assert site.told(1) == f"live {site.digests[1]}"

        site.triton.kill()
        running.event("unreachable")
        site.triton.start()
        running.event("restored", model=NAME, version=1)
        assert site.answers(1)

        site.approve(2)
        site.registry.kill()
        site.want(2)
        running.event("failed", model=NAME, version=2, code=5)
        site.mlflow.kill()
        running.event("desired", word="registry")
        site.triton.kill()  # with all three away, the live version comes back from the host's own disk
        site.triton.start()
        running.event("restored", version=1)
        assert site.answers(1)
        site.registry.start()
        site.mlflow.start()
        running.event("desired", word="mlflow")
        running.event("deployed", model=NAME, version=2)
        assert site.answers(2)
        said = running.stop()
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events.count("refused") == 1
    assert events.count("deployed") == 2
    assert events[-1] == "stopped"
    assert "Traceback" not in said
    assert int(site.client.get_model_version_by_alias(NAME, "harbour").version) == 2


def test_sigterm_in_the_middle_of_a_deployment_puts_the_former_version_back(site: Site) -> None:
    """The agent ends clean; once more, and the work is done."""
    live = site.live()
    other = 1 if live == 2 else 2
    site.want(other)
    with agent(site.project, form="human") as running:
        running.line(lambda line: line.startswith("check "))  # the files are there, the load begins
        said = running.stop()
    assert "Traceback" not in said
    assert "stopped by SIGTERM" in said
    status = site.project("status", "--target", "harbour", "--json", code=6, failed=False).json["models"][0]
    assert [drift["kind"] for drift in status["drift"]] == ["not-deployed"]
    assert (status["deployed"]["version"], status["ready"]) == (live, True)
    once = site.project("sync", "--target", "harbour", "--once")
    assert once.out == f"{site.host}/acme/{NAME}@{site.digests[other]}\n"
    assert site.project("status", "--target", "harbour", "--json").json["models"][0]["deployed"]["version"] == other


def test_once_says_by_its_exit_code_what_came_of_it(site: Site) -> None:
    site.live()
    for at, code in ((("--target", "harbour", "--target", "island"), 5), (("--target", "harbour"), 0)):
        typed = site.project("sync", *at, "--once", "--json", code=code, failed=False)
        assert list(typed.json["targets"]) == [name for name in at if name != "--target"]
        assert list(typed.json["targets"]["harbour"]["served"]) == [NAME]
    assert "island: unreachable" in site.project("sync", "--target", "island", "--once", code=5, failed=False).err
    site.project("sync", "--target", "nowhere", "--once", code=3)
    assert "--interval" in site.project("sync", "--target", "harbour", "--interval", "soon", code=2).err


def test_a_second_host_of_the_same_target_brings_it_too_and_says_so_for_itself(
    site: Site, tmp_path: Path, triton_carrier: Path
) -> None:
    second = TritonDaemon(triton_carrier, tmp_path / "triton")
    second.start()
    try:
        site.live()
        project = Project(tmp_path, site.project.uri)
        project.write(harbour=HERE + second.lines)
        toml = tmp_path / "promote.toml"
        toml.write_text(f'registry.url = "http://{site.host}/acme"\n' + toml.read_text())
        desired = int(site.client.get_model_version_by_alias(NAME, "harbour").version)
        assert project("sync", "--target", "harbour", "--once").out.endswith(f"@{site.digests[desired]}\n")
        import tritonclient.http as wire

        there = wire.InferenceServerClient(second.running.http)
        assert there.is_model_ready(NAME, str(desired))
        other = 1 if desired == 2 else 2
        site.want(other)  # one alias, followed by both hosts; neither moves it
        for host in (site.project, project):
            assert host("sync", "--target", "harbour", "--once").out.endswith(f"@{site.digests[other]}\n")
            assert int(site.client.get_model_version_by_alias(NAME, "harbour").version) == other
        assert site.answers(other)
        assert there.is_model_ready(NAME, str(other))
        project("rollback", NAME, "--target", "harbour")  # typed on one of them: what is desired of both
        assert site.project("sync", "--target", "harbour", "--once").out.endswith(f"@{site.digests[desired]}\n")
        assert site.answers(desired)
        assert there.is_model_ready(NAME, str(desired))
    finally:
        second.kill()


def test_without_mlflow_a_tag_that_is_moved_in_the_registry_is_followed_and_mlflow_is_told_later(site: Site) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed: apt-get install skopeo")
    live = site.live()
    other = 1 if live == 2 else 2

    def tag(version: int) -> None:
        where = f"docker://{site.host}/acme/{NAME}"
        insecure = ("--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests")
        command = [skopeo, "copy", *insecure, f"{where}@{site.digests[version]}", f"{where}:quay"]
        subprocess.run(command, check=True, capture_output=True)

    tag(other)  # before MLflow went away: older than what it said
    site.mlflow.kill()
    try:
        assert site.project("sync", "--target", "quay", "--once").out == ""
        tag(live)
        assert site.project("sync", "--target", "quay", "--once").out.endswith(f"@{site.digests[live]}\n")
        tag(other)
        came = site.project("sync", "--target", "quay", "--once")
        assert f"deployed v{other}" in came.err
        assert came.out.endswith(f"@{site.digests[other]}\n")
    finally:
        site.mlflow.start()
    assert "caught-up" in site.project("sync", "--target", "quay", "--once").err
    assert int(site.client.get_model_version_by_alias(NAME, "quay").version) == other


def test_a_call_of_mlflows_webhook_is_followed_at_once_by_an_agent_that_looks_once_an_hour(site: Site) -> None:
    other, port, secret = 3 - site.live(), free_port(), "a secret of tests 0123456789"
    site.want(3 - other)  # what serves, whatever an earlier test wanted
    hook = site.client.create_webhook(
        "agent",
        f"http://127.0.0.1:{port}/webhook",
        ["model_version_alias.created", "model_version_tag.set"],
        secret=secret,
    )
    options = ("--interval", "1h", "--webhook", str(port))
    try:
        with agent(site.project, *options, env={"PROMOTE_WEBHOOK_SECRET": secret}) as running:
            running.event("in-step", model=NAME, version=3 - other)
            site.want(other)
            running.event("deployed", model=NAME, version=other)
            assert site.answers(other)
            said = running.stop()
    finally:
        site.client.delete_webhook(hook.webhook_id)
    assert secret not in said
    assert '"event": "webhook"' not in said


def test_a_webhook_without_a_secret_is_refused(site: Site) -> None:
    for env in ({}, {"PROMOTE_WEBHOOK_SECRET": "short"}, {"PROMOTE_WEBHOOK_SECRET": "whsec_no base64"}):
        said = site.project("sync", "--target", "harbour", "--webhook", "9", code=2, env=env).err
        assert "PROMOTE_WEBHOOK_SECRET" in said
    assert "--once" in site.project("sync", "--target", "harbour", "--once", "--webhook", "9", code=2).err


def test_a_metrics_port_that_is_taken_is_told(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert (
            "Address already in use"
            in site.project("sync", "--target", "harbour", "--once", "--metrics", port, code=2).err
        )
