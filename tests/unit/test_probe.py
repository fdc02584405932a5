"""What hosts say, in the words they say it, and what becomes of it; hostile words included."""

import dataclasses
import datetime
import json

import pytest

from promote.core.facts import Fact, HostFacts
from promote.core.probe import (
    SHORT_QUERY,
    of_cards,
    of_image,
    of_metrics,
    read_cards,
    read_metrics,
    release_of,
    server_version,
    ssh_host,
    used_by,
)
from promote.core.probe_record import Probe, Source, probed, read_record, settled, write_record
from promote.core.rules.engine import check
from promote.core.target_rows import new_target
from promote.errors import InputError, IntegrityError
from tests.unit.test_matrix import MATRIX
from tests.unit.test_rules import MODEL

U1, U2 = "GPU-4b3a2f10-9c1d-4e5f-8a7b-0c1d2e3f4a5b", "GPU-77aa2f10-9c1d-4e5f-8a7b-0c1d2e3f4a5b"
ADA = f"NVIDIA RTX 6000 Ada Generation, 580.95.05, 49140, 8.9, [N/A], {U1}"
GB10 = f"NVIDIA GB10, 580.95.05, [N/A], 12.1, [N/A], {U1}"
H100 = "NVIDIA H100 80GB HBM3, 570.148.08, 81559, 9.0, {mig}, {uuid}"


def values(facts):
    known = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    assert all(fact.measured for fact in known.values() if fact)
    return {name: fact.value for name, fact in known.items() if fact}


def of(text):
    return values(of_cards(read_cards(text), "nvidia-smi on calypso, 2026-11-23"))


ADA_FACTS = {
    "gpu": "NVIDIA RTX 6000 Ada Generation", "driver": "580.95.05", "compute_capability": "8.9",
    "memory_bytes": 49140 * 2**20,
}  # fmt: skip
SMI = [
    (ADA, ADA_FACTS),
    (GB10, {"gpu": "NVIDIA GB10", "driver": "580.95.05", "compute_capability": "12.1"}),
    (
        H100.format(mig="Disabled", uuid=U1) + "\n" + H100.format(mig="Disabled", uuid=U2) + "\n",
        {"gpu": "NVIDIA H100 80GB HBM3", "driver": "570.148.08", "compute_capability": "9.0", "memory_bytes": 81559 * 2**20},
    ),
    (
        f"{ADA}\nNVIDIA GeForce RTX 3090, 580.95.05, 24576, 8.6, [N/A], {U2}",
        {"gpu": "NVIDIA GeForce RTX 3090", "driver": "580.95.05", "compute_capability": "8.6", "memory_bytes": 24576 * 2**20},
    ),
    (
        H100.format(mig="Enabled", uuid=U1),
        {"gpu": "NVIDIA H100 80GB HBM3", "driver": "570.148.08", "compute_capability": "9.0"},
    ),
    (f"{ADA}\n[Unknown Error], 580.95.05, [GPU requires reset], [N/A], [N/A], {U2}", {"driver": "580.95.05"}),
    (f"A, Card, 580.95.05, 49140, 8.9, Disabled, {U1}", ADA_FACTS | {"gpu": "A, Card"}),
    (f"NVIDIA L4, $(reboot), 23034, 8.9.1, [N/A], {U1}", {"gpu": "NVIDIA L4", "memory_bytes": 23034 * 2**20}),
]  # fmt: skip


# In the form of `--format=csv,noheader,nounits`, by driver branch, with the words in use for a field without a value; made by
# hand from that form, not recorded on these cards.
BRANCHES = [
    (f"Tesla V100-SXM2-16GB, 470.256.02, 16160, 7.0, [N/A], {U1}", ("470.256.02", "7.0", 16160)),
    (f"NVIDIA A100-SXM4-40GB, 525.147.05, 40960, 8.0, Disabled, {U1}", ("525.147.05", "8.0", 40960)),
    (f"NVIDIA L4, 535.183.01, 23034, 8.9, [N/A], {U1}", ("535.183.01", "8.9", 23034)),
    (f"NVIDIA GeForce RTX 5090, 575.57.08, 32607, 12.0, N/A, {U1}", ("575.57.08", "12.0", 32607)),
    (f"NVIDIA GB10, 580.95.05, [N/A], 12.1, [N/A], {U1}", ("580.95.05", "12.1", None)),
    (f"NVIDIA GB10, 580.95.05, Not Supported, 12.1, N/A, {U1}", ("580.95.05", "12.1", None)),
    (f"Orin (nvgpu), 540.4.0, [Not Supported], 8.7, [N/A], {U1}", ("540.4.0", "8.7", None)),
    (f"NVIDIA B200, 595.71, 183359, 10.0, Disabled, {U1}\r", ("595.71", "10.0", 183359)),
]


@pytest.mark.parametrize(("text", "told"), BRANCHES)
def test_every_driver_branch_is_read(text, told):
    (card,) = read_cards(text + "\n")
    mib = None if card.memory_bytes is None else card.memory_bytes // 2**20
    assert (card.driver, card.capability, mib, card.cut) == (*told, False)


@pytest.mark.parametrize(("text", "expected"), SMI)
def test_what_nvidia_smi_prints_becomes_facts(text, expected):
    assert of(text) == expected


def test_an_old_nvidia_smi_that_knows_no_compute_capability_still_tells_the_rest():
    facts = values(of_cards(read_cards(f"Tesla T4, 460.32.03, 15109, {U1}", SHORT_QUERY), "s"))
    assert facts == {"gpu": "Tesla T4", "driver": "460.32.03", "memory_bytes": 15109 * 2**20}


@pytest.mark.parametrize(
    "text",
    ["", "\n \n", "No devices were found", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
     "\n".join([ADA] * 65), "x" * 2000 + ",1,1,1,1,1", ", 580, 1, 8.9, x, y"],
)  # fmt: skip
def test_what_is_no_list_of_gpus_is_refused(text):
    with pytest.raises(IntegrityError, match="nvidia-smi prints"):
        read_cards(text)


def test_a_cards_name_cannot_move_the_terminals_cursor():
    assert "\x1b" not in of(f"NVIDIA \x1b[2J, 580.95.05, 1, 8.9, x, {U1}")["gpu"]


METRICS = f"""# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{{gpu_uuid="{U1}"}} 51527024640.000000
nv_gpu_memory_used_bytes{{gpu_uuid="{U1}"}} 1073741824
nv_cpu_memory_total_bytes 67430428672.000000
"""


def test_metrics_tell_the_gpus_and_the_memory():
    metrics = read_metrics(METRICS)
    assert (metrics.gpus, metrics.used, metrics.host) == ({U1: 51527024640}, 2**30, 67430428672)
    assert values(of_metrics(metrics, "gpu", "m")) == {"memory_bytes": 51527024640}
    assert values(of_metrics(metrics, "cpu", "m")) == {"memory_bytes": 67430428672}


def test_a_gpu_that_tells_no_memory_leaves_it_unknown():
    assert values(of_metrics(read_metrics(METRICS.replace("51527024640.000000", "0")), "gpu", "m")) == {}
    assert values(of_metrics(read_metrics("nv_cpu_utilization 1\n"), "gpu", "m")) == {}


@pytest.mark.parametrize("text", ["", "<html>", "go_goroutines 8", METRICS.replace("51527024640.000000", "9" * 20)])
def test_metrics_of_no_triton_are_refused(text):
    with pytest.raises(IntegrityError):
        read_metrics(text)


def test_only_the_cards_that_triton_uses_count_and_those_of_another_host_are_refused():
    cards = read_cards(f"{ADA}\nNVIDIA GeForce RTX 3090, 580.95.05, 24576, 8.6, [N/A], {U2}")
    assert [card.uuid for card in used_by(cards, read_metrics(METRICS))] == [U1]
    assert used_by(cards, None) == cards
    with pytest.raises(IntegrityError, match="another host"):
        used_by(cards[1:], read_metrics(METRICS))


def test_the_servers_version_names_its_release():
    assert release_of(server_version(b'{"name":"triton","version":"2.51.0","extensions":[]}'), MATRIX) == "24.10"
    assert release_of("9.99.0", MATRIX) == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"name":"triton","version":7}', b'{"name":"nginx","version":"1.25.0"}', b"[" * 100_000,
     b'{"name":"triton","version":"x"}', b'{"name":"triton","name":"triton","version":"2.51.0"}', b"\xff"],
)  # fmt: skip
def test_metadata_of_no_triton_is_refused(data):
    with pytest.raises(IntegrityError):
        server_version(data)


ENV = [
    "PATH=/usr/bin", "CUDA_VERSION=13.2.0.046", "CUDA_DRIVER_VERSION=595.45.04", "TRT_VERSION=10.16.0.72+cuda13.2",
    "TRITON_SERVER_VERSION=2.68.0", "NVIDIA_TRITON_SERVER_VERSION=26.04", "PYTHON_VERSION=3.12.3", "EMPTY=", "odd",
]  # fmt: skip


def test_an_images_environment_becomes_facts_but_its_compatibility_libraries_are_no_driver():
    assert values(of_image(ENV, "image x", MATRIX)) == {
        "triton": "26.04", "tensorrt": "10.16.0.72", "cuda": "13.2.0.046", "python": "3.12.3",
    }  # fmt: skip


def test_an_image_names_its_release_by_the_server_where_it_does_not_itself():
    assert values(of_image(["TRITON_SERVER_VERSION=2.51.0", "CUDA_VERSION=; rm -rf /"], "i", MATRIX)) == {
        "triton": "24.10"
    }


def test_an_image_of_something_else_is_refused():
    with pytest.raises(IntegrityError, match="no image of a Triton"):
        of_image(["CUDA_VERSION=13.0"], "i", MATRIX)


@pytest.mark.parametrize("host", ["calypso", "ada@calypso", "10.0.0.7", "gpu-1.example.com"])
def test_host_names_that_are_some(host):
    assert ssh_host(host) == host


@pytest.mark.parametrize(
    "host", ["", "-oProxyCommand=reboot", "a b", "a;b", "$(x)", "a@-b", "-l@b", "a\n", "é", "a/b", "h" * 300]
)
def test_host_names_that_could_be_an_option_or_a_command_are_refused(host):
    with pytest.raises(InputError, match="--ssh"):
        ssh_host(host)


FACTS = of_cards(read_cards(ADA), "nvidia-smi on calypso, 2026-11-23")
PROBE = Probe(
    target="calypso", date="2026-11-23", facts=FACTS, ssh="ada@calypso", image="nvcr.io/nvidia/tritonserver:26.04-py3",
    sources=(Source("nvidia-smi", "answered", "1 x"),),
)  # fmt: skip


def test_a_record_reads_back_as_it_was_written():
    assert read_record(write_record(PROBE), "calypso", "f") == PROBE


def damaged(**changes):
    return json.dumps(json.loads(write_record(PROBE)) | changes).encode()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", write_record(PROBE)[:-40], damaged(target="local"), damaged(date="2026-13-45"), damaged(date=1),
     damaged(ssh="-oProxyCommand=x"), damaged(image="x; rm -rf /"), damaged(schema="promote.probe/9"), damaged(more=1),
     damaged(facts={"driver": {"value": "new", "source": "s"}}), damaged(facts={"memory_bytes": {"value": -1, "source": "s"}}),
     damaged(facts={"gpu": {"value": "\u001b[2J", "source": "s"}})],
)  # fmt: skip
def test_a_damaged_record_is_refused_in_one_line_with_what_to_do(data):
    with pytest.raises(IntegrityError) as caught:
        read_record(data, "calypso", "calypso.json")
    assert "calypso.json" in caught.value.message
    assert "\n" not in caught.value.message
    assert "promote target probe calypso" in caught.value.hint


def target(**keys):
    return new_target("t", {"device": "gpu", **keys}, "promote.toml: targets.t")


def drift(judged):
    return [f.has for f in check(MODEL, judged, MATRIX) if f.rule == "drift"]


def test_what_says_the_same_in_fewer_words_is_no_drift():
    judged = settled(target(gpu="RTX 6000 Ada", driver="580", memory_gib=48), FACTS, MATRIX)
    assert drift(judged) == []
    assert judged.host.memory_bytes.value == 49140 * 2**20
    assert all(getattr(judged.host, name).measured for name in ("gpu", "driver", "memory_bytes"))


def test_another_driver_card_or_memory_than_declared_is_drift():
    judged = settled(target(gpu="RTX 4090", driver="570", memory_gib=24, compute_capability="8.6"), FACTS, MATRIX)
    assert {has.split()[0] for has in drift(judged)} == {"gpu", "driver", "memory_bytes", "compute_capability"}


def test_a_measured_release_replaces_what_the_declared_one_implied():
    declared = MATRIX.complete(target(triton="26.04"))
    measured = HostFacts(triton=Fact("24.10", "Triton", measured=True))
    judged = settled(declared, measured, MATRIX)
    assert judged.host.onnxruntime.value == "1.19.2"
    assert drift(judged) == ["triton 24.10"]


@pytest.mark.parametrize(
    ("day", "old"), [("2026-11-23", False), ("2026-12-23", False), ("2026-12-24", True), ("2026-10-01", True)]
)
def test_a_probe_is_old_after_thirty_days_and_one_of_the_future_is_worth_nothing(day, old):
    found = probed(PROBE, datetime.date.fromisoformat(day))
    assert found.old is old
    judged = dataclasses.replace(settled(target(triton="26.04"), FACTS, MATRIX), probed=found)
    (finding,) = [f for f in check(MODEL, judged, MATRIX) if f.rule == "probe-age"]
    assert finding.outcome.value == ("degraded" if old else "ok")
    assert "2026-11-23" in finding.has
    if old:
        assert finding.remedy == (
            "promote target probe calypso --image nvcr.io/nvidia/tritonserver:26.04-py3 --ssh ada@calypso"
        )


def test_a_target_that_was_never_probed_has_no_age():
    assert [f for f in check(MODEL, target(), MATRIX) if f.rule == "probe-age"] == []
