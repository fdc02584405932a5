"""Which rules read which table of the matrix, and which fact of a host: whose answers may change when one of these does.

``tests/unit/test_readers.py`` watches every rule at work and fails where one reads what is not said here.
"""

from collections.abc import Mapping

READERS: Mapping[str, frozenset[str]] = {
    table: frozenset(rules.split())
    for table, rules in {
        "triton_releases": "triton-release compute-capability driver-floor plan-tensorrt-gpu",
        "cuda_driver_floors": "driver-floor",
        "cuda_forward_compat": "driver-floor",
        "onnxruntime": "onnx-opset onnx-ir onnx-ml-opset operators operators-placement external-data",
        "onnxruntime_opset_floor": "onnx-opset",
        "operator_domains": "onnx-domains",
        "io_types": "io-types",
        "triton_checks": "format io-types config-name config-batching config-tensors config-instances config-shapes "
        "config-batch-tensors config-queue config-sequence config-cache config-warmup config-ensemble ensemble-models "
        "config-complete config-parameters model-versions model-files label-files",
        "onnxruntime_builds": "onnxruntime-gpu",
        "tensorrt_hardware": "plan-tensorrt-gpu",
        "tensorrt_opsets": "tensorrt-opset",
        "tensorrt_plan_rules": "plan-arch plan-os plan-version plan-gpu tensorrt-precision",
        "gpus": "compute-capability driver-floor plan-gpu",
        "dtype_support": "dtypes",
        "memory_estimate": "memory-fit",
    }.items()
}
"""Table -> rules. Tables that are not here are for readers, or for the targets and the export."""

OF_HOST: Mapping[str, frozenset[str]] = {
    fact: frozenset(rules.split()) | {"drift"}
    for fact, rules in {
        "device": "format operators operators-placement driver-floor compute-capability dtypes config-instances onnxruntime-gpu",
        "arch": "plan-arch onnxruntime-gpu",
        "os": "plan-os",
        "triton": "triton-release compute-capability io-types plan-os onnxruntime-gpu",
        "onnxruntime": "onnx-opset onnx-ir onnx-ml-opset external-data operators operators-placement",
        "tensorrt": "plan-version plan-tensorrt-gpu tensorrt-opset tensorrt-precision",
        "version_compatible_plans": "plan-version",
        "cuda": "driver-floor",
        "driver": "driver-floor",
        "gpu": "driver-floor",
        "compute_capability": "compute-capability plan-gpu plan-tensorrt-gpu dtypes model-files onnxruntime-gpu",
        "memory_bytes": "memory-fit",
        "memory_used_bytes": "memory-fit",
        "python": "python-version",
    }.items()
}
"""Fact of a target -> rules; ``drift`` compares them all."""
