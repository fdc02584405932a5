"""``promote target probe`` on real parts: a real Triton, a real registry, and the programs it runs.

``nvidia-smi`` and ``ssh`` are small scripts put first on PATH, since there is no GPU and no second host here: they stand in
for what the two print, how they end, and what they are asked; not for what a real driver does.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests
import yaml

from promote.adapters.oci.image import read_image
from promote.adapters.probe import nvidia_smi
from promote.adapters.probe.triton import get
from promote.cli.main import run
from promote.errors import InputError, IntegrityError, NotFound, Unavailable
from tests.parts.registry import serving

ADA = "NVIDIA RTX 6000 Ada Generation, 580.95.05, 49140, 8.9, [N/A], GPU-4b3a2f10-9c1d-4e5f-8a7b-0c1d2e3f4a5b"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
ENV = [
    "PATH=/usr/local/bin:/usr/bin", "CUDA_VERSION=12.6.2.004", "CUDA_DRIVER_VERSION=560.35.03", "TRT_VERSION=10.5.0.18",
    "TRITON_SERVER_VERSION=2.51.0", "NVIDIA_TRITON_SERVER_VERSION=24.10",
]  # fmt: skip


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a script of that name first on PATH; it notes its arguments, one a line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/{name}.asked\n{script}\n")
        path.chmod(0o755)
        return lambda: (folder / f"{name}.asked").read_text().splitlines()

    return put


def test_nvidia_smi_over_ssh_is_asked_as_a_list_of_arguments_and_without_a_password(program):
    asked = program("ssh", f"echo '{ADA}'")
    (card,) = nvidia_smi.cards_of("ada@calypso")
    assert (card.name, card.driver, card.capability) == ("NVIDIA RTX 6000 Ada Generation", "580.95.05", "8.9")
    words = asked()
    assert words[:2] == ["-o", "BatchMode=yes"]
    assert words[words.index("--") + 1 :][:2] == ["ada@calypso", "nvidia-smi"]


def test_a_host_that_could_be_an_option_never_reaches_ssh(program, tmp_path):
    program("ssh", f"echo '{ADA}'")
    with pytest.raises(InputError):
        nvidia_smi.cards_of("-oProxyCommand=reboot")
    assert not (tmp_path / "bin/ssh.asked").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo \"NVIDIA-SMI has failed because it couldn't communicate with the driver.\"; exit 9", "couldn't communicate"),
        ("echo 'No devices were found'; exit 6", "No devices were found"),
        ("echo 'bash: line 1: nvidia-smi: command not found' >&2; exit 127", "command not found"),
        ("echo 'ssh: Could not resolve hostname calypso' >&2; exit 255", "ssh ends with 255 on calypso"),
        ("yes | head -c 200000", "prints more than"),
    ],
)  # fmt: skip
def test_what_goes_wrong_there_is_told_in_its_own_words(program, script, said):
    program("ssh", script)
    with pytest.raises(Unavailable, match=said) as caught:
        nvidia_smi.cards_of("calypso")
    assert "\n" not in caught.value.message


def test_a_host_that_hangs_is_given_up(program, monkeypatch):
    monkeypatch.setattr(nvidia_smi, "SECONDS", 0.5)
    program("ssh", "sleep 60")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="did not end within"):
        nvidia_smi.cards_of("calypso")
    assert time.monotonic() - begun < 10


def test_no_nvidia_smi_here_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="nvidia-smi cannot be run here"):
        nvidia_smi.cards_of()


def test_an_nvidia_smi_without_compute_capability_is_asked_again_for_less(program):
    program(
        "nvidia-smi",
        'case "$1" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\'; exit 2;; esac\n'
        "echo 'Tesla T4, 460.32.03, 15109, GPU-1'",
    )
    (card,) = nvidia_smi.cards_of()
    assert (card.name, card.capability, card.memory_bytes) == ("Tesla T4", "", 15109 * 2**20)


def push(registry, path, kind, data, tag=None):
    """A blob, or a manifest where ``kind`` is one; returns its descriptor."""
    root = f"http://{registry.host}/v2/{path}"
    with requests.Session() as session:
        session.trust_env = False
        if kind in (INDEX, MANIFEST):
            done = session.put(f"{root}/manifests/{tag or sha(data)}", data=data, headers={"Content-Type": kind})
        else:
            begun = session.post(f"{root}/blobs/uploads/")
            done = session.put(begun.headers["Location"] + f"&digest={sha(data)}", data=data)
    assert done.status_code == 201, done.text
    return {"mediaType": kind, "digest": sha(data), "size": len(data)}


def push_image(registry, path, tag, env, *, arch="amd64", config=None):
    told = config or json.dumps({"os": "linux", "architecture": arch, "config": {"Env": env}}).encode()
    layer = push(registry, path, "application/vnd.oci.image.layer.v1.tar+gzip", b"a layer nobody needs")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": push(registry, path, CONFIG, told),
        "layers": [layer],
    }
    return push(registry, path, MANIFEST, json.dumps(manifest).encode(), tag)


@pytest.fixture
def image(registry):
    """An image for two architectures, of the form of NVIDIA's."""
    path = "nvidia/tritonserver"
    entries = [
        push_image(registry, path, None, [*ENV, "ARCH=arm"], arch="arm64")
        | {"platform": {"os": "linux", "architecture": "arm64"}},
        push_image(registry, path, None, ENV) | {"platform": {"os": "linux", "architecture": "amd64"}},
    ]  # fmt: skip
    push(
        registry,
        path,
        INDEX,
        json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode(),
        "24.10-py3",
    )
    return f"{registry.host}/{path}:24.10-py3"


@pytest.mark.registry
def test_an_images_environment_is_read_for_the_targets_architecture(image):
    assert read_image(image, "x86_64", {}).environment == tuple(ENV)
    assert "ARCH=arm" in read_image(image, "aarch64", {}).environment


@pytest.mark.registry
def test_an_image_is_read_by_its_digest_too_and_without_its_layers(registry, image):
    found = read_image(image, "x86_64", {})
    registry.blob(sha(b"a layer nobody needs")).unlink()  # reading one would fail now
    by_digest = read_image(f"{image.rpartition(':')[0]}@{found.digest}", "x86_64", {})
    assert by_digest.environment == found.environment


@pytest.mark.registry
def test_refresh_proposes_the_row_that_the_image_tells_and_says_what_differs(image, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["matrix", "refresh", "--image", image]) == 0
    said = capsys.readouterr()
    (row,) = yaml.safe_load(said.out)["triton_releases"]
    assert (row["release"], row["server"], row["onnxruntime"]) == ("24.10", "2.51.0", "1.19.2")
    assert row["tensorrt"]["version"] == "10.5.0.18"
    assert row["tensorrt"]["source"].startswith(f"image config of {image}@sha256:")
    assert "differs: triton_releases.tensorrt: ? -> 10.5.0.18\n" in said.err
    assert "not told by the image, so as it was or null: onnxruntime, min_compute_capability, python" in said.err
    assert run(["matrix", "refresh", "--image", image, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["differs"]["triton_releases.tensorrt"] == {"before": None, "after": "10.5.0.18"}
    assert told["rows"]["triton_releases"] == [row]


@pytest.mark.registry
def test_what_is_no_image_for_the_target_is_refused(registry):
    push_image(registry, "acme/arm", "1", ENV, arch="arm64")
    with pytest.raises(NotFound, match="expected linux/amd64"):
        read_image(f"{registry.host}/acme/arm:1", "x86_64", {})
    with pytest.raises(NotFound, match="is not there"):
        read_image(f"{registry.host}/acme/none:1", "x86_64", {})
    for config in (b"[]", b"{", b'{"os":"linux","architecture":"amd64","config":{"Env":"x"}}', b"[" * 50_000):
        push_image(registry, "acme/bad", "1", [], config=config)
        with pytest.raises(IntegrityError):
            read_image(f"{registry.host}/acme/bad:1", "x86_64", {})


@pytest.mark.registry
def test_a_config_that_is_not_what_its_digest_says_is_refused(registry):
    # Bytes of its own: the registry keeps a blob once for all repositories.
    told = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Env": [*ENV, "OWN=1"]}}).encode()
    push_image(registry, "acme/changed", "1", [], config=told)
    registry.blob(sha(told)).write_bytes(told.replace(b"24.10", b"26.04"))
    with pytest.raises(IntegrityError, match="other bytes"):
        read_image(f"{registry.host}/acme/changed:1", "x86_64", {})


@pytest.mark.parametrize(
    "text", ["tritonserver", "nvidia/tritonserver:1", "https://h.io/a:1", "h.io/A B", "h.io/a@sha256:12", ""]
)
def test_references_that_name_no_registry_are_refused(text):
    with pytest.raises(InputError):
        read_image(text, "x86_64", {})


def test_an_endless_answer_and_an_error_page_are_refused():
    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/v2" else 503)
            self.end_headers()
            if self.path == "/v2":
                self.wfile.write(b" " * (2**20 + 10))

        def log_message(self, *_):
            pass

    with serving(Endless) as url:
        with pytest.raises(IntegrityError, match="more than"):
            get(url.removeprefix("http://"), "/v2")
        with pytest.raises(Unavailable, match="503"):
            get(url.removeprefix("http://"), "/metrics")


@pytest.fixture
def promote(tmp_path):
    """Types ``promote ...`` in a folder of its own, whose settings hold ``[targets.calypso]`` with the given lines."""

    def type_(*arguments, code=0, lines=""):
        (tmp_path / "promote.toml").write_text(f"[targets.calypso]\n{lines}\n")
        done = subprocess.run(
            [sys.executable, "-m", "promote", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return type_


def save_model(path):
    from onnx import TensorProto, helper, save

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 2]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.registry
@pytest.mark.triton
def test_a_probed_target_makes_the_verdict_decided(promote, program, triton, image, tmp_path):
    save_model(tmp_path / "model.onnx")
    server = triton.triton
    lines = f'http = "{server.http}"\nmetrics = "127.0.0.1:{server.ports.metrics}"\ngpu = "RTX 4090"'
    before = promote("check", "model.onnx", "--target", "calypso", code=11, lines=lines)
    assert "promote target probe calypso" in before.stdout
    program("ssh", f"echo '{ADA}'")

    probed = promote("target", "probe", "calypso", "--ssh", "calypso", "--image", image, "--json", lines=lines)
    told = json.loads(probed.stdout)
    assert {source["name"]: source["state"] for source in told["sources"]} == dict.fromkeys(
        ("triton", "metrics", "nvidia-smi", "image"), "answered"
    )
    facts = {name: fact["value"] for name, fact in told["facts"].items()}
    assert facts == {
        "triton": "24.10", "tensorrt": "10.5.0.18", "cuda": "12.6.2.004", "driver": "580.95.05", "compute_capability": "8.9",
        "gpu": "NVIDIA RTX 6000 Ada Generation", "memory_bytes": 49140 * 2**20,
    }  # fmt: skip
    assert told["facts"]["driver"]["source"].startswith("nvidia-smi on calypso, 20")
    assert json.loads((tmp_path / ".promote/targets/calypso.json").read_text())["facts"].keys() == facts.keys()

    after = promote("check", "model.onnx", "--target", "calypso", "--json", lines=lines)
    verdict = json.loads(after.stdout)
    assert verdict["verdict"] == "degraded"
    drift = {finding["has"].split()[0] for finding in verdict["findings"] if finding["outcome"] == "degraded"}
    assert drift == {"gpu", "triton"}  # declared: RTX 4090 and 26.04
    assert "24.10*" in promote("targets", lines=lines).stdout

    again = json.loads(promote("target", "probe", "calypso", "--json", lines=lines).stdout)  # asks what it asked before
    assert again["facts"] == told["facts"]


@pytest.mark.triton
def test_a_source_that_fails_hides_no_other(promote, program, triton, tmp_path):
    program("ssh", "echo 'Permission denied (publickey).' >&2; exit 255")
    server = triton.triton
    lines = f'http = "{server.http}"\nmetrics = "127.0.0.1:1"'
    done = promote("target", "probe", "calypso", "--ssh", "calypso", "--json", lines=lines)
    states = {source["name"]: (source["state"], source["told"]) for source in json.loads(done.stdout)["sources"]}
    assert states["triton"][0] == "answered"
    assert states["metrics"][0] == "failed"
    assert states["nvidia-smi"] == ("failed", "ssh ends with 255 on calypso: Permission denied (publickey).")
    assert states["image"][0] == "not asked"


def test_where_nothing_answers_nothing_is_kept(promote, tmp_path):
    done = promote("target", "probe", "calypso", code=5, lines='http = "127.0.0.1:1"\nmetrics = "127.0.0.1:1"')
    assert "nothing of calypso could be measured" in done.stderr
    assert not (tmp_path / ".promote").exists()


def test_a_damaged_record_is_one_line_and_a_probe_mends_it(promote, program, tmp_path):
    program("nvidia-smi", f"echo '{ADA}'")
    lines = 'http = "127.0.0.1:1"\nmetrics = "127.0.0.1:1"'
    promote("target", "probe", "calypso", "--here", lines=lines)
    record = tmp_path / ".promote/targets/calypso.json"
    record.write_text(record.read_text()[:100])
    done = promote("targets", code=6, lines=lines)
    assert "calypso.json" in done.stderr
    assert "hint: promote target probe calypso measures anew" in done.stderr
    promote("target", "probe", "calypso", "--here", lines=lines)
    assert "RTX 6000 Ada Generation*" in promote("targets", lines=lines).stdout


def test_a_probe_of_long_ago_says_so_and_how_to_renew_it(promote, program, tmp_path):
    program("ssh", f"echo '{ADA}'")
    save_model(tmp_path / "model.onnx")
    lines = 'http = "127.0.0.1:1"'
    promote("target", "probe", "calypso", "--ssh", "ada@calypso", lines=lines)
    record = tmp_path / ".promote/targets/calypso.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"date": "2020-01-31"}))
    done = promote("check", "model.onnx", "--target", "calypso", lines=lines)
    assert "calypso was probed on 2020-01-31" in done.stdout
    assert "do promote target probe calypso --ssh ada@calypso" in done.stdout
    listed = promote("targets", lines=lines)
    assert "calypso: probed on 2020-01-31, long ago: promote target probe calypso --ssh ada@calypso" in (
        listed.stdout + listed.stderr
    )
    told = json.loads(promote("targets", "--json", lines=lines).stdout)
    (calypso,) = [one for one in told["targets"] if one["name"] == "calypso"]
    assert calypso["probed"] == {
        "date": "2020-01-31", "old": True, "renew": "promote target probe calypso --ssh ada@calypso",
    }  # fmt: skip
    judged = json.loads(promote("check", "model.onnx", "--target", "calypso", "--json", lines=lines).stdout)
    (age,) = [finding for finding in judged["findings"] if finding["rule"] == "probe-age"]
    assert (age["outcome"], age["needs"]) == ("degraded", "a probe of the last 30 days")


@pytest.mark.parametrize("option", ["--ssh=-oProxyCommand=x", "--image=tritonserver"])
def test_a_host_or_image_of_another_form_is_bad_input(promote, option):
    assert option.partition("=")[2] in promote("target", "probe", "calypso", option, code=2).stderr
