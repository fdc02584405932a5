"""Settings of convolutions and pools that their constructors or shape inference refuse; see ``constructors``.

Sources: onnxruntime core/providers/cpu/nn/conv_attributes.h, pool_attributes.h, autopad_type.h; onnx/defs/nn/defs.cc
``convPoolShapeInference``, ``convTransposeShapeInference``; contrib_ops/cpu/fused_activation.cc ``GetFusedActivationAttr``,
fused_gemm.cc. Measured in 1.16.3 to 1.32.0.
"""

from collections.abc import Callable, Mapping

from promote.core.facts import NodeUse, Told

Settings = Mapping[str, Told]
Release = tuple[int, ...]
_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "")
# Parameters that an activation asks for, in ``activation_params``.
_FUSED = {"Relu": 0, "Tanh": 0, "Sigmoid": 0, "LeakyRelu": 1, "Clip": 2, "HardSigmoid": 2}
_GEMM = {"Relu", "Tanh", "Sigmoid", "Softplus", "Softsign"}
_GEMM_ALPHA = {"LeakyRelu", "Elu", "HardSigmoid", "ThresholdedRelu", "Celu"}


def _convolution(node: NodeUse, settings: Settings, release: Release) -> str:
    padding = settings.get("auto_pad")
    if padding not in (*_PADS, None):
        return f"auto_pad {padding!r}, which is none of {', '.join(_PADS[:4])}"
    if padding not in (None, "", "NOTSET") and "pads" in settings:
        return f"auto_pad {padding} together with pads"
    if node.name == "ConvTranspose" and release < (1, 28):  # shape inference then looks at pads alone
        pads = settings.get("pads")
        odd = isinstance(pads, tuple) and len(pads) % 2
        return "pads of an odd number" if odd else _extents(node, settings, release)
    return _lengths(settings) or _extents(node, settings, release)


def _pool(node: NodeUse, settings: Settings, release: Release) -> str:
    padding, kernel, pads = (settings.get(name) for name in ("auto_pad", "kernel_shape", "pads"))
    if padding not in (*_PADS, None):
        return f"auto_pad {padding!r}, which is none of {', '.join(_PADS[:4])}"
    if wrong := _lengths(settings) or _extents(node, settings, release):
        return wrong
    order = settings.get("storage_order")
    if release >= (1, 29) and isinstance(order, int) and order not in (0, 1):
        return f"storage_order {order}, which is neither 0 nor 1"
    if isinstance(kernel, tuple) and any(extent <= 0 for extent in kernel):
        return f"kernel_shape {list(kernel)}, not above 0"
    if (
        isinstance(kernel, tuple)
        and isinstance(pads, tuple)
        and any(p >= k for p, k in zip(pads, 2 * kernel, strict=False))
    ):
        return f"pads {list(pads)}, not smaller than kernel_shape {list(kernel)}"
    return ""


def _lengths(settings: Settings) -> str:
    """One item for each axis of a window in each list, two in ``pads``.

    A convolution whose input has no known rank loads all the same, and fails when it runs.
    """
    told = {name: settings.get(name) for name in ("kernel_shape", "strides", "dilations", "pads")}
    counts = {name: len(items) for name, items in told.items() if isinstance(items, tuple) and items}
    axes = {count / 2 if name == "pads" else count for name, count in counts.items()}
    if len(axes) < 2:
        return ""
    return "lists for windows of different rank: " + ", ".join(f"{name} of {count}" for name, count in counts.items())


def _extents(node: NodeUse, settings: Settings, release: Release) -> str:
    """Shape inference divides by a stride of 0 (the process ends); ``kernel_shape``, ``pads`` are looked at from 1.28 on."""
    asked = {"strides": 1 if release >= (1, 26) or node.name != "ConvTranspose" else None,
             "dilations": 1 if release >= (1, 26) else None,
             "kernel_shape": 1 if release >= (1, 28) else None,
             "pads": 0 if release >= (1, 28) else None}  # fmt: skip
    for name, least in asked.items():
        told = settings.get(name)
        low = told if isinstance(told, tuple) and least is not None else ()
        if any(item < (least or 0) for item in low) and (name != "strides" or release >= (1, 26) or 0 in low):
            return f"{name} {list(low)}, below {least}"
    return ""


def _fused_convolution(node: NodeUse, settings: Settings, release: Release) -> str:
    known = _FUSED | ({"HardSwish": 0} if release >= (1, 30) else {})
    name = settings.get("activation")
    if isinstance(name, str):
        if name not in known:
            later = ", taken from 1.30 on" if name == "HardSwish" else ""
            return f"activation {name!r}{later}; this release takes {', '.join(known)}"
        if known[name] and dict(node.lengths).get("activation_params", 0) != known[name]:
            return f"activation {name} without its {known[name]} activation_params"
    return _convolution(node, settings, release)


def _fused_gemm(node: NodeUse, settings: Settings, release: Release) -> str:
    name = settings.get("activation")
    if not isinstance(name, str) or name in _GEMM:
        return ""
    if name not in _GEMM_ALPHA:
        return f"activation {name!r}, for which there is no implementation"
    return "" if "activation_alpha" in settings else f"activation {name} without activation_alpha"


RULES: Mapping[tuple[str, str], Callable[[NodeUse, Settings, Release], str]] = {
    **{("", name): _convolution for name in ("Conv", "ConvTranspose", "ConvInteger")},
    **{("", name): _pool for name in ("MaxPool", "AveragePool", "LpPool")},
    **{("com.microsoft.nchwc", name): _pool for name in ("MaxPool", "AveragePool")},
    ("com.microsoft.nchwc", "Conv"): _fused_convolution,
    ("com.microsoft", "FusedConv"): _fused_convolution,
    ("com.microsoft", "FusedGemm"): _fused_gemm,
}
"""By domain and name: why that release cannot be given the node, or an empty string."""
