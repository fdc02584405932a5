"""Each kind of model, written by its template and loaded by the real Triton: documents become Markdown, text becomes entities.

A TensorRT plan is written and judged, and not loaded: its backend asks for a GPU.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from promote.adapters.kind_folder import write_models
from promote.adapters.triton_server import TritonServer
from promote.core.facts import Fact
from promote.errors import DeployFailed
from promote.wiring import open_wiring
from promote.wiring.kinds import KindOrder, write_kind
from tests.parts.triton import Served, new_name

pytestmark = pytest.mark.triton
LABELS = ("O", "B-PORT", "I-PORT", "B-VESSEL", "I-VESSEL")
VOCABULARY = {
    "[PAD]": 0,
    "[UNK]": 1,
    "[CLS]": 2,
    "[SEP]": 3,
    "Oslo": 4,
    "Le": 5,
    "Havre": 6,
    "Nordlys": 7,
    "left": 8,
    ".": 9,
}
TAGS = {"Oslo": "B-PORT", "Le": "B-PORT", "Havre": "I-PORT", "Nordlys": "B-VESSEL"}


@pytest.fixture
def wiring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return open_wiring(None, None)


@pytest.fixture
def server(triton: Served) -> TritonServer:
    return TritonServer(triton.triton.http, triton.triton.grpc)


def bring(triton: Served, folder: Path) -> None:
    """What was written, into the repository."""
    for model in folder.iterdir():
        model.rename(triton.repository / model.name)


def texts(*values: str | bytes) -> np.ndarray:
    return np.array([[value] for value in values], dtype=object)


# --- python ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def converting(triton: Served, server: TritonServer, wiring, tmp_path: Path) -> str:
    name = new_name("convert")
    write_kind(KindOrder("python", name, 1, None, tmp_path / "out"), wiring.target("local"), wiring)
    bring(triton, tmp_path / "out")
    server.load(name)
    server.await_ready(name, 1, 60)
    return name


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_documents_become_markdown(server: TritonServer, converting: str, protocol: str) -> None:
    documents = texts("<h1>Cargo</h1><p>40 t of <b>grain</b></p>", "<ul><li>Oslo<li>Kiel</ul>")
    answer = server.infer(converting, 1, {"DOCUMENT": documents}, protocol)["MARKDOWN"]
    assert [row[0].decode() for row in answer] == ["# Cargo\n\n40 t of **grain**\n", "- Oslo\n- Kiel\n"]


@pytest.mark.parametrize(
    ("document", "why"),
    [(b"<p>\xff</p>", "no UTF-8"), (b"<script>1</script>", "without text"), (b"x" * 4_194_305, "the most is 4194304")],
)
def test_a_document_that_cannot_be_converted_is_answered_with_its_reason(
    server: TritonServer, converting: str, document: bytes, why: str
) -> None:
    with pytest.raises(DeployFailed, match=why):
        server.infer(converting, 1, {"DOCUMENT": texts(document)}, "grpc")
    fine = server.infer(converting, 1, {"DOCUMENT": texts("<p>fine</p>")}, "grpc")
    assert fine["MARKDOWN"].item() == b"fine\n"


def test_another_python_is_refused_by_the_rule_and_by_the_model_itself(
    triton: Served, server: TritonServer, wiring, tmp_path: Path
) -> None:
    name, other = new_name("old"), f"3.{sys.version_info.minor + 1}"
    local = wiring.target("local")
    elsewhere = replace(local, host=replace(local.host, python=Fact(other, "declared")))
    [folder] = write_kind(KindOrder("python", name, 1, None, tmp_path / "out"), elsewhere, wiring)
    [subject] = wiring.model_subjects([str(folder)])[0]
    outcomes = {
        target.host.python.value: {f.rule: f.outcome.value for f in subject.judge(target, wiring.matrix).findings}
        for target in (local, elsewhere)
    }
    assert outcomes[local.host.python.value]["python-version"] == "degraded"  # no packed environment: code may run
    assert outcomes[other]["python-version"] == "ok"
    bring(triton, tmp_path / "out")
    with pytest.raises(DeployFailed, match=f"made for Python {other}, this Triton's Python backend is 3"):
        server.load(name)


# --- ensemble -------------------------------------------------------------------------------------------------------


def network(folder: Path, name: str) -> Path:
    """A token classifier that knows the label of each word of a small vocabulary; its version directory."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    table = np.full((len(VOCABULARY), len(LABELS)), -5.0, np.float32)
    for word, number in VOCABULARY.items():
        table[number, LABELS.index(TAGS.get(word, "O"))] = 5.0
    shape = ["batch", "sequence"]
    takes = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")]
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*shape, len(LABELS)])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["scores"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["scores", "wide"], ["logits"]),
    ]
    held = [
        helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.tobytes(), raw=True),
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
    ]
    graph = helper.make_graph(nodes, "tags", takes, [gives], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # cuts a full stop from its word
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    config = f"""name: "{name}" backend: "onnxruntime" max_batch_size: 4 version_policy {{ specific {{ versions: 1 }} }}
    input {{ name: "input_ids" data_type: TYPE_INT64 dims: -1 }} input {{ name: "attention_mask" data_type: TYPE_INT64 dims: -1 }}
    output {{ name: "logits" data_type: TYPE_FP32 dims: [-1, {len(LABELS)}] }}"""
    write_models(
        folder,
        {
            f"{name}/config.pbtxt": config.encode(),
            f"{name}/1/model.onnx": model.SerializeToString(),
            f"{name}/1/labels.txt": ("\n".join(LABELS) + "\n").encode(),
            f"{name}/1/tokenizer/tokenizer.json": tokenizer.to_str().encode(),
        },
    )
    return folder / name / "1"


@pytest.fixture
def asking(triton: Served, server: TritonServer, wiring, tmp_path: Path) -> str:
    """The name of an ensemble that is loaded, with its parts, by one request."""
    name = new_name("tags")
    at = network(triton.repository, name)
    write_kind(KindOrder("ensemble", "", 1, at, tmp_path / "out"), wiring.target("local"), wiring)
    bring(triton, tmp_path / "out")
    server.load(f"{name}-text")
    server.await_ready(f"{name}-text", 1, 60)
    return f"{name}-text"


def entities(server: TritonServer, name: str, *sentences: str, protocol: str = "grpc") -> list[list[tuple[str, str]]]:
    answer = server.infer(name, 1, {"TEXT": texts(*sentences)}, protocol)["ENTITIES"]
    return [[(one["label"], one["text"]) for one in json.loads(row[0])] for row in answer]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_text_becomes_entities(server: TritonServer, asking: str, protocol: str) -> None:
    said = entities(server, asking, "Nordlys left Le Havre", "Oslo", protocol=protocol)
    assert said == [[("VESSEL", "Nordlys"), ("PORT", "Le Havre")], [("PORT", "Oslo")]]


def test_places_are_characters_of_the_text_as_it_was_sent(server: TritonServer, asking: str) -> None:
    text = "  Zoë\tleft   Le\n Havre. Oslo Oslo"
    [row] = server.infer(asking, 1, {"TEXT": texts(text)}, "grpc")["ENTITIES"]
    found = json.loads(row[0])
    assert [(one["label"], one["text"]) for one in found] == [
        ("PORT", "Le\n Havre."), ("PORT", "Oslo"), ("PORT", "Oslo"),
    ]  # fmt: skip
    assert all(text[one["begin"] : one["end"]] == one["text"] for one in found)
    assert all(0.99 < one["score"] <= 1 for one in found)


def test_an_inner_label_that_continues_nothing_is_no_entity(server: TritonServer, asking: str) -> None:
    assert entities(server, asking, "Havre left", "left", "Nordlys Havre") == [[], [], [("VESSEL", "Nordlys")]]


def test_an_empty_text_and_one_that_is_too_long(server: TritonServer, asking: str) -> None:
    assert entities(server, asking, "") == [[]]
    assert len(entities(server, asking, " ".join(["Oslo"] * 510))[0]) == 510
    with pytest.raises(DeployFailed, match="513 tokens, the most is 512"):
        entities(server, asking, " ".join(["Oslo"] * 511))
    with pytest.raises(DeployFailed, match="cannot be read"):
        server.infer(asking, 1, {"TEXT": texts(b"\xff")}, "grpc")
    assert entities(server, asking, "Oslo") == [[("PORT", "Oslo")]]


def test_the_rules_judge_an_ensemble_with_its_parts_and_find_the_one_that_is_missing(
    triton: Served, wiring, tmp_path: Path
) -> None:
    local, folder = wiring.target("local"), tmp_path / "models"
    at = network(folder, "tags")
    write_kind(KindOrder("ensemble", "", 1, at, tmp_path / "out"), local, wiring)
    for model in (tmp_path / "out").iterdir():
        model.rename(folder / model.name)

    def said(*left_out: str) -> set[tuple[str, str, str]]:
        there = [str(path) for path in sorted(folder.iterdir()) if path.name not in left_out]
        subjects, faults = wiring.model_subjects(there)
        assert faults == []
        words = set()
        for subject in subjects:
            verdict = subject.judge(local, wiring.matrix)
            subject.settle(verdict.word)
            words |= {(subject.name, f.rule, f.outcome.value) for f in verdict.findings}
        return words

    whole = said()
    assert {word for word in whole if word[2] == "broken"} == set()
    assert {("tags-text", "config-ensemble", "ok"), ("tags-tokenizer", "python-version", "ok")} <= whole
    # What model.py does when it is loaded is not known without running it, so an ensemble of Python models is never judged whole.
    assert ("tags-text", "ensemble-models", "unknown") in whole
    assert ("tags-text", "ensemble-models", "broken") in said("tags-tokenizer")


def until_refused(server: TritonServer, name: str) -> None:
    """A version retires when its last request was answered, and not a moment earlier."""
    for _ in range(100):
        try:
            assert entities(server, name, "Oslo") == [[("PORT", "Oslo")]]
        except DeployFailed:
            return
        time.sleep(0.1)
    raise AssertionError("it still answers")


def test_a_text_side_neither_hinders_the_next_version_of_its_network_nor_answers_for_it(
    triton: Served, server: TritonServer, asking: str
) -> None:
    name = asking.removesuffix("-text")
    home = triton.repository / name
    (home / "2").mkdir()
    (home / "2/model.onnx").write_bytes((home / "1/model.onnx").read_bytes())
    config = (home / "config.pbtxt").read_text()

    def serve(versions: str) -> None:
        (home / "config.pbtxt").write_text(config.replace("versions: 1", versions))
        server.load(name)

    serve("versions: [1, 2]")
    server.await_ready(name, 2, 60)
    assert entities(server, asking, "Oslo") == [[("PORT", "Oslo")]]
    serve("versions: 2")  # version 1 retires
    assert server.ready(name, 2)
    until_refused(server, asking)
    serve("versions: 1")  # a rollback
    server.load(asking)
    server.await_ready(asking, 1, 60)
    assert entities(server, asking, "Oslo") == [[("PORT", "Oslo")]]
