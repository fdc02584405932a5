"""What implementations refuse although their types fit: settings that an operator's constructor or shape inference rejects.

Each rule names the source that raises; releases are those in which it was measured (``benchmarks/oracle.py``).
Not here: types and versions (``kernels``).
"""

from collections.abc import Mapping

from promote.core.facts import NodeUse

Settings = Mapping[str, int | str | None]
# Locales that a C library has without anything installed.
_ALWAYS_THERE = ("C", "POSIX", "C.UTF-8", "C.utf8")


def refused(node: NodeUse, release: tuple[int, ...]) -> str:
    """Why the CPU provider of that release cannot be given this node, or an empty string."""
    settings = dict(node.attributes)
    if node.domain == "" and node.name in ("GRU", "LSTM", "RNN") and settings.get("layout"):
        # core/providers/cpu/rnn/deep_cpu_gru.h, lstm_base.h, rnn.h: "Batchwise recurrent operations are not supported"
        return "layout 1, batch first, which the CPU provider does not implement: transpose, and use layout 0"
    if node.domain == "" and node.name in ("GRU", "LSTM", "RNN") and not _positive(settings.get("hidden_size", 0)):
        # core/providers/cpu/rnn/deep_cpu_gru.h, lstm_base.h, rnn.h ask for hidden_size > 0 in their constructors
        return "hidden_size is missing, or not above 0"
    if node.domain == "" and node.name == "Resize" and node.version >= 13 and not any(node.inputs[2:4]):
        # onnx/defs/tensor/utils.cc resizeShapeInference: "Either `sizes` or `scales` must be provided"
        return "neither sizes nor scales"
    if node.domain == "" and node.name == "Split" and node.version >= 18 and not any(node.inputs[1:]):
        # onnx/defs/tensor/defs.cc: "Neither 'split' input nor 'num_outputs' attribute has been given"
        return "" if "num_outputs" in settings else "neither an input split nor num_outputs"
    if node.domain == "" and node.name == "DFT" and release < (1, 25) and settings.get("inverse"):
        # core/graph shape inference: "is_onesided and inverse attributes cannot be enabled at the same time"
        return "onesided and inverse together, taken from 1.25 on" if settings.get("onesided") else ""
    if node.domain == "" and node.name == "RotaryEmbedding" and release < (1, 24):
        # core/providers/cpu/llm/rotary_embedding.cc: num_heads must be given with rotary_embedding_dim
        alone = settings.get("rotary_embedding_dim") and not settings.get("num_heads")
        return "rotary_embedding_dim without num_heads, taken from 1.24 on" if alone else ""
    if node.domain == "" and node.name == "StringNormalizer":
        return _locale(settings, release)
    return ""


def _positive(value: int | str | None) -> bool:
    return value is None or (isinstance(value, int) and value > 0)


def _locale(settings: Settings, release: tuple[int, ...]) -> str:
    """core/providers/cpu/text/string_normalizer.cc makes a ``std::locale`` by name, which throws where it is not installed.

    Until 1.17 always, from 1.18 on to compare without case, from 1.27 on also to change case. Containers have no ``en_US``.
    """
    locale = settings.get("locale", "en_US")
    without_case = not settings.get("is_case_sensitive", 0)
    changes_case = settings.get("case_change_action", "NONE") != "NONE"
    makes = release < (1, 18) or without_case or (release >= (1, 27) and changes_case)
    if not makes or locale in _ALWAYS_THERE:
        return ""
    return f"the locale {locale}, which containers do not have: set the attribute locale to C, or install it"
