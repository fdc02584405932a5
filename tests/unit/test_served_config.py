"""A server's configuration against the placed one: what Triton completes is no difference, anything else is."""

import pytest

from promote.core.model_config import parse_config
from promote.core.served_config import difference

PLACED = """
name: "m" backend: "onnxruntime" max_batch_size: 8 version_policy { specific { versions: 2 } }
input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }
instance_group { kind: KIND_CPU count: 1 } dynamic_batching { } parameters { key: "k" value { string_value: "1" } }
"""
# What Triton 2.51 (24.10) answered for such a configuration.
SERVED = """
name: "m" platform: "onnxruntime_onnx" version_policy { specific { versions: 1 versions: 2 } } max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }
instance_group { name: "m_0" count: 1 kind: KIND_CPU } default_model_filename: "model.onnx"
dynamic_batching { preferred_batch_size: 8 } backend: "onnxruntime" runtime: "model.py"
optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
parameters { key: "k" value { string_value: "1" } } parameters { key: "more" value { string_value: "2" } }
"""


def config(text):
    return parse_config(text.encode(), "m/config.pbtxt")


def test_what_triton_completes_is_no_difference():
    assert difference(config(PLACED), config(SERVED)) == ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("max_batch_size: 8", "max_batch_size: 9", "max_batch_size 9, 8 was placed"),
        ("count: 1", "count: 2", "instance_group[0].count 2, 1 was placed"),
        ("dims: 4 } output", "dims: 5 } output", "input[0].dims[0] 5, 4 was placed"),
        ("KIND_CPU }", "KIND_CPU } instance_group { kind: KIND_CPU }", "has 2 of instance_group, 1 were placed"),
        ('string_value: "1"', 'string_value: "x"', "parameters[k].string_value x, 1 was placed"),
        ('key: "k"', 'key: "l"', "parameters[k]"),
        ("dynamic_batching { preferred_batch_size: 8 }", "sequence_batching { }", "sequence_batching"),
        ("name: \"m\" platform", "model_warmup { name: \"w\" } name: \"m\" platform", "model_warmup"),
    ],
)  # fmt: skip
def test_anything_else_is_and_both_values_are_told(old, new, told):
    assert old in SERVED
    assert told in difference(config(PLACED), config(SERVED.replace(old, new)))
