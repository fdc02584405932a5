"""What implementations refuse although their types fit: settings that an operator's constructor or shape inference rejects.

Each rule names the source that raises; releases are those in which it was measured (``benchmarks/oracle.py``). Those of
windows (convolutions, pools) and of classical models have files of their own. Not here: types and versions (``kernels``).
"""

from collections.abc import Callable, Mapping
from functools import partial

from promote.core import constructors_ml, constructors_windows
from promote.core.facts import NodeUse, Told

Settings = Mapping[str, Told]
Release = tuple[int, ...]
# Locales that a C library has without anything installed.
_ALWAYS_THERE = ("C", "POSIX", "C.UTF-8", "C.utf8")
_DIRECTIONS = ("forward", "reverse", "bidirectional")
_FLOAT8 = (17, 18, 19, 20, 24)  # TensorProto.DataType
_BLOCKS = (16, 32, 64, 128, 256)


def refused(node: NodeUse, release: Release) -> str:
    """Why the CPU provider of that release cannot be given this node, or an empty string."""
    rule = _RULES.get((node.domain, node.name))
    if rule is None:
        return ""
    counted = node.domain in ("ai.onnx.ml", "com.microsoft.nchwc") or node.name == "FusedConv"
    if counted and not node.lengths and any(value is None for _, value in node.attributes):
        return ""  # read by a promote that did not count: how long its lists are is not known
    return rule(node, dict(node.attributes), release)


def _recurrent(node: NodeUse, settings: Settings, release: Release) -> str:
    """core/providers/cpu/rnn/deep_cpu_gru.h, lstm_base.h, rnn.h, and ``MakeDirection`` in rnn_helpers.h."""
    if settings.get("layout"):  # "Batchwise recurrent operations are not supported"
        return "layout 1, batch first, which the CPU provider does not implement: transpose, and use layout 0"
    size = settings.get("hidden_size", 0)
    if size is not None and not (isinstance(size, int) and size > 0):
        return "hidden_size is missing, or not above 0"
    return _one_of("direction", _DIRECTIONS, node, settings, release)


def _resize(node: NodeUse, settings: Settings, release: Release) -> str:
    if node.version >= 13 and not any(node.inputs[2:4]):
        # onnx/defs/tensor/utils.cc resizeShapeInference: "Either `sizes` or `scales` must be provided"
        return "neither sizes nor scales"
    # core/providers/cpu/tensor/upsamplebase.h StringToUpsampleMode
    return _one_of("mode", ("nearest", "linear", "cubic"), node, settings, release)


def _split(node: NodeUse, settings: Settings, release: Release) -> str:
    if node.version >= 18 and not any(node.inputs[1:]):
        # onnx/defs/tensor/defs.cc: "Neither 'split' input nor 'num_outputs' attribute has been given"
        return "" if "num_outputs" in settings else "neither an input split nor num_outputs"
    return ""


def _dft(node: NodeUse, settings: Settings, release: Release) -> str:
    if release < (1, 25) and settings.get("inverse"):
        # core/graph shape inference: "is_onesided and inverse attributes cannot be enabled at the same time"
        return "onesided and inverse together, taken from 1.25 on" if settings.get("onesided") else ""
    return ""


def _rotary(node: NodeUse, settings: Settings, release: Release) -> str:
    if release < (1, 24):
        # core/providers/cpu/llm/rotary_embedding.cc: num_heads must be given with rotary_embedding_dim
        alone = settings.get("rotary_embedding_dim") and not settings.get("num_heads")
        return "rotary_embedding_dim without num_heads, taken from 1.24 on" if alone else ""
    return ""


def _normalizer(node: NodeUse, settings: Settings, release: Release) -> str:
    """core/providers/cpu/text/string_normalizer.cc makes a ``std::locale`` by name, which throws where it is not installed.

    Until 1.17 always, from 1.18 on to compare without case, from 1.27 on only to change case, or to compare stop words
    without it. Containers have no ``en_US``.
    """
    if wrong := _one_of("case_change_action", ("NONE", "LOWER", "UPPER"), node, settings, release):
        return wrong
    locale = settings.get("locale", "en_US")
    without_case = not settings.get("is_case_sensitive", 0)
    if release >= (1, 27):
        changes_case = settings.get("case_change_action", "NONE") != "NONE"
        makes = changes_case or (without_case and bool(dict(node.lengths).get("stopwords", "stopwords" in settings)))
    else:
        makes = release < (1, 18) or without_case
    if not makes or locale in _ALWAYS_THERE:
        return ""
    return f"the locale {locale}, which containers do not have: set the attribute locale to C, or install it"


def _few_bits(node: NodeUse, settings: Settings, release: Release) -> str:
    """contrib_ops/cpu/quantization/matmul_nbits.cc, the constructor; 1.16 takes any width and fails when it runs."""
    widths = (2, 4, 8) if release >= (1, 24) else (4, 8) if release >= (1, 22) else (4,)
    bits, block = settings.get("bits", 4), settings.get("block_size")
    if release >= (1, 17) and bits is not None and bits not in widths:
        first = {2: ", taken from 1.24 on", 8: ", taken from 1.22 on"}.get(bits if isinstance(bits, int) else 0, "")
        return f"weights of {bits} bits{first}; this release takes {', '.join(map(str, widths))}"
    if release >= (1, 27) and isinstance(block, int) and block not in _BLOCKS:
        return f"blocks of {block} weights; from 1.27 on they have 16, 32, 64, 128 or 256"
    return ""


def _permuted(node: NodeUse, settings: Settings, release: Release) -> str:
    """core/providers/cpu/tensor/transpose.h TransposeBase: "has an invalid value", whatever the input's shape."""
    axes = settings.get("perm")
    if isinstance(axes, tuple) and sorted(axes) != list(range(len(axes))):
        return f"perm {list(axes)}, which is no order of {len(axes)} axes"
    return ""


def _sums(node: NodeUse, settings: Settings, release: Release) -> str:
    """core/providers/cpu/math/cumsum.cc: "can only be 0 or 1", from 1.27 on."""
    each = [_one_of(name, (0, 1), node, settings, release) for name in ("exclusive", "reverse")]
    return next(filter(None, each), "") if release >= (1, 27) else ""


def _window_size(node: NodeUse, settings: Settings, release: Release) -> str:
    """core/providers/cpu/nn/lrn.h: ``size_ > 0``, ``size_ % 2 == 1``."""
    size = settings.get("size")
    return (
        f"size {size}, which is no odd number above 0" if isinstance(size, int) and (size <= 0 or size % 2 == 0) else ""
    )


def _cast(node: NodeUse, settings: Settings, release: Release) -> str:
    """core/graph/graph.cc: "type inference failed", as 0 is no type; core/providers/cpu/tensor/cast_op.cc for saturate."""
    to = settings.get("to")
    if settings.get("saturate") == 0 and isinstance(to, int) and to not in _FLOAT8:
        return "saturate 0, which is for casts to float 8 only"
    return "to 0, which is no type" if to == 0 else ""


def _one_of(name: str, known: tuple[Told, ...], node: NodeUse, settings: Settings, release: Release) -> str:
    given = settings.get(name)
    return "" if given is None or given in known else f"{name} {given!r}, which is none of {', '.join(map(str, known))}"


Rule = Callable[[NodeUse, Settings, Release], str]
_RULES: Mapping[tuple[str, str], Rule] = {
    **dict.fromkeys((("", "GRU"), ("", "LSTM"), ("", "RNN")), _recurrent),
    ("", "Resize"): _resize,
    ("", "Split"): _split,
    ("", "DFT"): _dft,
    ("", "RotaryEmbedding"): _rotary,
    ("", "StringNormalizer"): _normalizer,
    ("", "Transpose"): _permuted,
    ("", "Cast"): _cast,
    # core/providers/cpu/math/element_wise_ops.cc: "Invalid direction value"
    ("", "BitShift"): partial(_one_of, "direction", ("LEFT", "RIGHT")),
    # core/providers/cpu/math/mod.h, tensor/pad.h, tensor/grid_sample.h, tensor/space_depth_ops.h, object_detection/roialign.h
    ("", "Mod"): partial(_one_of, "fmod", (0, 1)),
    ("", "Pad"): partial(_one_of, "mode", ("constant", "reflect", "edge", "wrap")),
    ("", "GridSample"): partial(_one_of, "mode", ("bilinear", "nearest", "bicubic", "linear", "cubic")),
    ("", "DepthToSpace"): partial(_one_of, "mode", ("DCR", "CRD")),
    ("", "RoiAlign"): partial(_one_of, "mode", ("avg", "max")),
    ("", "LpNormalization"): partial(_one_of, "p", (1, 2)),  # core/providers/cpu/nn/lp_norm.h
    ("", "CumSum"): _sums,
    ("", "LRN"): _window_size,
    ("com.microsoft", "MatMulNBits"): _few_bits,
    **constructors_windows.RULES,
    **constructors_ml.RULES,
}
