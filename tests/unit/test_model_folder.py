"""What Triton would serve of a model's directory: backend, versions, file; and in which order a repository is judged."""

import time

import pytest

from promote.core.facts import ModelFolder
from promote.core.model_config import parse_config
from promote.core.model_folder import Neighbour, backend_of, in_order, model_path, served


def folder(*files, versions=(1,)):
    return ModelFolder(name="m", versions=versions, files=frozenset(files))


def config(text):
    return parse_config(text.encode(), "config.pbtxt")


@pytest.mark.parametrize(
    ("text", "files", "backend"),
    [
        ('backend: "tensorrt"', ("1/model.onnx",), "tensorrt"),
        ('platform: "onnxruntime_onnx"', (), "onnxruntime"),
        ('platform: "torch_aoti"', (), "pytorch"),
        ('platform: "nosuch"', ("1/model.onnx",), ""),
        ('default_model_filename: "model.plan"', ("1/model.onnx",), "tensorrt"),
        ('default_model_filename: "net.onnx"', ("1/model.onnx",), ""),
        ("", ("1/model.onnx",), "onnxruntime"),
        ("", ("1/model.onnx", "1/model.plan"), "tensorrt"),
        ("", ("2/model.onnx",), ""),
        ('platform: "ensemble" ensemble_scheduling { }', (), "ensemble"),
    ],
)
def test_the_backend_is_what_is_named_else_what_the_first_version_holds(text, files, backend):
    assert backend_of(folder(*files), config(text)) == backend
    if not text:
        assert backend_of(folder(*files), None) == backend


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", (10,)),
        ("version_policy { latest { } }", ()),
        ("version_policy { latest { num_versions: 2 } }", (2, 10)),
        ("version_policy { all { } }", (1, 2, 10)),
        ("version_policy { specific { versions: [ 2, 7 ] } }", (2,)),
    ],
)
def test_the_version_policy_chooses(policy, chosen):
    assert served(folder(versions=(10, 1, 2)), config(policy)) == chosen


def test_an_onnx_model_may_be_a_directory_that_holds_one():
    assert model_path(folder("1/model.onnx/model.onnx"), None, 1) == "1/model.onnx/model.onnx"
    assert model_path(folder("1/model.plan/model.onnx"), None, 1) == ""
    named = config('backend: "onnxruntime"')
    assert model_path(folder("1/model.onnx/model.onnx"), named, 1) == "1/model.onnx/model.onnx"
    assert model_path(folder("1/model.onnx"), named, 2) == ""


def test_an_ensemble_comes_after_what_it_is_made_of_and_a_circle_comes_last():
    made_of = 'platform: "ensemble" ensemble_scheduling {{ step [ {{ model_name: "{}" }} ] }}'
    configs = {name: config(made_of.format(step)) for name, step in (("a", "c"), ("c", "z"), ("k", "l"), ("l", "k"))}
    assert in_order(configs | {"z": None}) == ("z", "c", "a", "k", "l")


def test_of_several_versions_the_worst_counts():
    first = Neighbour(None, "degraded", (1,))
    assert first.worse(Neighbour(None, "incompatible", (2,))) == Neighbour(None, "incompatible", (1, 2))
    assert first.worse(Neighbour(None, "compatible", (2,))).word == "degraded"


def test_a_long_chain_of_ensembles_is_put_in_order_at_once():
    made_of = 'platform: "ensemble" ensemble_scheduling {{ step [ {{ model_name: "{}" }} ] }}'
    configs = {f"m{n:05}": config(made_of.format(f"m{n + 1:05}")) for n in range(3_000)}
    began = time.process_time()
    assert in_order(configs) == tuple(sorted(configs, reverse=True))
    assert time.process_time() - began < 2
