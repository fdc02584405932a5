"""Kinds of model: settings that make no sense are named, configurations are what Triton reads, nothing is written over."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from promote.adapters.kind_folder import write_models
from promote.cli.main import run
from promote.core.facts import Fact, HostFacts, Target
from promote.core.kind_configs import ensemble_configs, python_config, tensorrt_config
from promote.core.kinds import KINDS
from promote.core.model_config import parse_config
from promote.core.serving import config_text, parse_settings
from promote.errors import InputError, Unavailable
from promote.wiring import shipped

HOST = HostFacts(device=Fact("gpu", "declared"), python=Fact("3.12.3", "declared"))
TARGET = Target(name="t", host=HOST)
ROOT = shipped("model_repo_templates")
PYTHON = """backend: python
inputs: [{name: X, data_type: TYPE_STRING, dims: [1]}]
outputs: [{name: Y, data_type: TYPE_STRING, dims: [1]}]
"""


def shipped_settings(kind):
    return parse_settings(KINDS[kind], (ROOT / kind / "template.yaml").read_text(), f"{kind}/template.yaml")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shipped_is_valid_says_every_key_with_its_default_and_has_a_schema(kind, capsys):
    import yaml

    settings = shipped_settings(kind)
    said = yaml.safe_load((ROOT / kind / "template.yaml").read_text())
    assert said.keys() == settings.model_dump(by_alias=True).keys()
    assert run(["template", "schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"].keys() == said.keys()
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("kind", "text", "where"),
    [
        ("python", "backend: onnxruntime", "backend"),
        ("python", "backend: python", "inputs"),
        ("python", PYTHON.replace("TYPE_STRING", "TYPE_TEXT", 1), "inputs.0.data_type"),
        ("python", PYTHON.replace("name: X", 'name: "../x y"'), "inputs.0.name"),
        ("python", PYTHON.replace("dims: [1]", "dims: [0]", 1), "inputs.0.dims"),
        ("python", PYTHON + "environment: {python: '2.7'}", "environment.python"),
        ("python", PYTHON + "environment: {packed: ../env.tar.gz}", "environment.packed"),
        ("python", PYTHON + "environment: {packed: env.zip}", "environment.packed"),
        ("python", PYTHON + "parameters: {'a b': x}", "parameters.a b"),
        ("python", PYTHON + "instance_group: {count: 65}", "instance_group.count"),
        ("tensorrt", "platform: onnxruntime_onnx", "platform"),
        ("tensorrt", "platform: tensorrt_plan\ninstance_group: {kind: cpu}", "instance_group.kind"),
        ("tensorrt", "platform: tensorrt_plan\nmax_batch_size: -1", "max_batch_size"),
        ("ensemble", "platform: ensemble\nmax_tokens: 2", "max_tokens"),
        ("ensemble", "platform: ensemble\nsteps: []", "steps"),
        ("ensemble", "[]", "the file"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(kind, text, where):
    with pytest.raises(InputError) as caught:
        parse_settings(KINDS[kind], text, "mine.yaml")
    assert caught.value.message.startswith(f"mine.yaml: {where}")


def test_a_python_model_says_which_python_and_which_environment_it_is_made_for():
    settings = shipped_settings("python")
    config = python_config(settings, TARGET, "convert", 3)
    assert (config.backend, config.max_batch_size, list(config.version_policy.specific.versions)) == ("python", 8, [3])
    assert config.parameters["python"].string_value == "3.12"
    assert "EXECUTION_ENV_PATH" not in config.parameters
    assert config.instance_group[0].kind == config.instance_group[0].KIND_CPU
    text = PYTHON + "environment: {python: '3.10.12', packed: env.tar.gz}\ninstance_group: {kind: auto}"
    packed = python_config(parse_settings(KINDS["python"], text, "t"), TARGET, "convert", 3)
    assert packed.parameters["python"].string_value == "3.10.12"
    assert packed.parameters["EXECUTION_ENV_PATH"].string_value == "$$TRITON_MODEL_DIRECTORY/env.tar.gz"
    assert packed.instance_group[0].kind == packed.instance_group[0].KIND_GPU
    with pytest.raises(InputError, match="python of t is not known"):
        python_config(settings, replace(TARGET, host=HostFacts()), "convert", 3)


def test_a_plan_is_served_on_the_gpu_alone():
    text = "platform: tensorrt_plan\nmax_batch_size: 4\ninstance_group: {profile: [1, 2]}\n"
    text += "dynamic_batching: {preferred_batch_size: [2, 8]}"
    config = tensorrt_config(parse_settings(KINDS["tensorrt"], text, "t"), "plan", 2)
    assert (config.platform, config.backend, config.default_model_filename) == (
        "tensorrt_plan", "tensorrt", "model.plan",
    )  # fmt: skip
    assert config.instance_group[0].kind == config.instance_group[0].KIND_GPU
    assert list(config.instance_group[0].profile) == ["1", "2"]
    assert list(config.dynamic_batching.preferred_batch_size) == [2]
    unbatched = parse_settings(KINDS["tensorrt"], "platform: tensorrt_plan\nmax_batch_size: 0", "t")
    assert not tensorrt_config(unbatched, "plan", 2).HasField("dynamic_batching")


def classifier(**tensors):
    config = ModelConfig(name="ner", backend="onnxruntime", max_batch_size=8)
    for name in tensors.get("takes", ("input_ids", "attention_mask")):
        config.input.add(name=name, data_type=tensors.get("type", 9), dims=[-1])  # TYPE_INT64
    for name in tensors.get("gives", ("logits",)):
        config.output.add(name=name, data_type=11, dims=tensors.get("dims", [-1, 17]))  # TYPE_FP32
    return config


def test_an_ensemble_names_one_version_of_each_part_and_their_tensors_fit():
    made = ensemble_configs(shipped_settings("ensemble"), TARGET, classifier(), 7)
    whole = made["text"]
    assert [(s.model_name, s.model_version) for s in whole.ensemble_scheduling.step] == [
        ("ner-tokenizer", 7), ("ner", 7), ("ner-entities", 7),
    ]  # fmt: skip
    assert [o.name for o in made["tokenizer"].output] == ["input_ids", "attention_mask", "PLACES"]
    assert list(made["entities"].input[2].dims) == [-1, 17]
    assert {config.max_batch_size for config in made.values()} == {8}
    assert made["tokenizer"].parameters["max_tokens"].string_value == "512"
    for config in made.values():
        assert parse_config(config_text(config), "config.pbtxt") == config


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (classifier(takes=("pixels",)), "takes pixels, which no tokenizer gives"),
        (classifier(takes=()), "takes nothing"),
        (classifier(type=8), "which no tokenizer gives"),
        (classifier(gives=("logits", "hidden")), "is no token classifier"),
        (classifier(dims=[17]), "is no token classifier"),
    ],
)
def test_a_network_that_is_no_token_classifier_is_refused(wrong, why):
    with pytest.raises(InputError, match=why):
        ensemble_configs(shipped_settings("ensemble"), TARGET, wrong, 1)


def test_nothing_is_written_over_and_nothing_is_left_half_written(tmp_path):
    write_models(tmp_path / "out", {"a/config.pbtxt": b"one"})
    with pytest.raises(InputError, match="a is there already"):
        write_models(tmp_path / "out", {"a/config.pbtxt": b"two", "b/config.pbtxt": b"two"})
    assert (tmp_path / "out/a/config.pbtxt").read_bytes() == b"one"
    with pytest.raises(Unavailable):
        write_models(tmp_path / "out", {"c/config.pbtxt": b"three", "c/1/model.plan": Path("gone")})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("python", "--name", "Bad Name"), 2, "model name 'Bad Name' is not allowed"),
        (("tensorrt", "--name", "plan"), 2, "a plan is needed"),
        (("tensorrt", "--name", "plan", "--from", "gone.plan"), 3, "no file gone.plan"),
        (("onnxruntime", "--name", "x"), 2, "is not written by hand"),
        (("ensemble",), 2, "takes its name and version from its network"),
        (("ensemble", "--from", "models/ner/1"), 3, "tokenizer.json"),
        (("python", "--name", "x", "--settings", "gone.yaml"), 2, "cannot read gone.yaml"),
    ],
)
def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    assert run(["template", "write", *arguments, "--target", "local", "--out", "out"]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_plan_is_written_and_judged_by_its_header(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("yolo.plan").write_bytes(b"ftrt" + bytes(20) + bytes([10, 13, 3, 9]) + bytes(100))
    Path("no.plan").write_bytes(b"no plan at all")
    assert (
        run(["template", "write", "tensorrt", "--name", "x", "--from", "no.plan", "--target", "local", "--out", "o"])
        != 0
    )
    write = [
        "template",
        "write",
        "tensorrt",
        "--name",
        "yolo",
        "--from",
        "yolo.plan",
        "--target",
        "calypso",
        "--out",
        "out",
    ]
    assert run([*write, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["models"] == ["out/yolo"]
    assert {p.relative_to("out").as_posix() for p in Path("out").rglob("*") if p.is_file()} == {
        "yolo/config.pbtxt", "yolo/1/model.plan",
    }  # fmt: skip
    assert run(["check", "out/yolo", "--target", "local"]) == 10  # a CPU has no TensorRT
    assert "KIND_GPU" in capsys.readouterr().out


CONVERT = runpy.run_path(str(ROOT / "python/conversion.py"))["convert"]


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h2>A <i>b</i></h2>", "## A *b*"),
        ("<p>one</p><p>two<br>three</p>", "one\n\ntwo\n\nthree"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>d</p>", "- a\n- b\n  - c\n\nd"),
        ("<ol><li>a<li>b</ol><ol><li>c</ol>", "1. a\n2. b\n1. c"),
        ("<ul><li><p>a</p></li><li></li></ul>", "- a"),
        ('<p>see <a href="/x">this</a>.</p>', "see [this](/x)."),
        ("<pre>a  b\n c</pre>", "```\na  b\n c\n```"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1|2</td></tr></table>", "| a | b |\n| --- | --- |\n| 1\\|2 |  |"),
        ("<head><title>t</title></head><style>x</style>a &amp; b", "a & b"),
    ],
)
def test_documents_become_markdown(html, markdown):
    made = CONVERT(html.encode())
    assert made == markdown + "\n"


@pytest.mark.parametrize("document", [b"", b"<p> </p>", b"<script>x</script>", b"\xff"])
def test_a_document_with_nothing_to_read_is_refused(document):
    with pytest.raises(ValueError, match=r"without text|no UTF-8"):
        CONVERT(document)
