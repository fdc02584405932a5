"""Settings of classical models (ai.onnx.ml) that their constructors refuse; see ``constructors``.

Sources: onnxruntime core/providers/cpu/ml, the file of each operator; onnx/defs/traditionalml/defs.cc for encoders. Measured in
1.16.3 to 1.32.0. Trees have a file of their own.
"""

from collections.abc import Callable, Mapping

from promote.core.constructors_trees import trees, words
from promote.core.facts import NodeUse, Told

Settings = Mapping[str, Told]
Release = tuple[int, ...]


def _exactly_one(*names: str) -> "Rule":
    def rule(node: NodeUse, settings: Settings, release: Release) -> str:
        have = dict(node.lengths)
        given = [name for name in names if have.get(name)]
        return (
            ""
            if len(given) == 1
            else f"{' and '.join(given) or 'none'} of {' and '.join(names)}: exactly one is asked for"
        )

    return rule


def _scaler(node: NodeUse, settings: Settings, release: Release) -> str:
    have = dict(node.lengths)
    scale, offset = have.get("scale", 0), have.get("offset", 0)
    return "" if scale and scale == offset else f"scale of {scale}, offset of {offset}"


def _norm(node: NodeUse, settings: Settings, release: Release) -> str:
    given = settings.get("norm")
    return "" if given in (None, "MAX", "L1", "L2") else f"norm {given!r}, which is none of MAX, L1, L2"


def _linear_classifier(node: NodeUse, settings: Settings, release: Release) -> str:
    have = dict(node.lengths)
    classes, coefficients = have.get("intercepts", 0), have.get("coefficients", 0)
    labels = have.get("classlabels_ints", 0) + have.get("classlabels_strings", 0)
    if release >= (1, 26) and not classes:
        return "no intercepts"
    if release >= (1, 28) and classes > 1 and not labels:
        return "no class labels"
    if release >= (1, 28) and classes and coefficients % classes:
        return f"coefficients of {coefficients:,}, not a multiple of the {classes:,} classes"
    return words(node, settings, release)


def _linear_regressor(node: NodeUse, settings: Settings, release: Release) -> str:
    return "no coefficients" if "coefficients" not in settings else words(node, settings, release)


def _vectors(node: NodeUse, settings: Settings, release: Release) -> str:
    have = dict(node.lengths)
    asked = ("coefficients", "rho", "kernel_params")
    if missing := [name for name in asked if name not in settings]:
        return f"no {missing[0]}"
    if have.get("prob_a", 0) != have.get("prob_b", 0):
        return f"prob_a of {have.get('prob_a', 0)}, prob_b of {have.get('prob_b', 0)}"
    if node.name == "SVMClassifier" and not (have.get("classlabels_ints") or have.get("classlabels_strings")):
        return "no class labels"
    supports = settings.get("n_supports", 0)
    if node.name == "SVMRegressor" and release >= (1, 26) and isinstance(supports, int) and supports > 0:
        if not have.get("support_vectors"):
            return "no support_vectors"
        if have.get("coefficients", 0) < supports:
            return f"coefficients of {have.get('coefficients', 0)}, n_supports {supports}"
    return words(node, settings, release)


def _categories(node: NodeUse, settings: Settings, release: Release) -> str:
    have = dict(node.lengths)
    words, numbers = have.get("cats_strings", 0), have.get("cats_int64s", 0)
    same = words == numbers and {"cats_strings", "cats_int64s"} <= settings.keys()
    return "" if same else f"cats_strings of {words}, cats_int64s of {numbers}"


def _labels(node: NodeUse, settings: Settings, release: Release) -> str:
    """From version 2 on a list of keys and one of values."""
    if node.version < 2:
        return ""
    have = dict(node.lengths)
    keys = [count for name, count in have.items() if name.startswith("keys_") and count]
    values = [count for name, count in have.items() if name.startswith("values_") and count]
    if len(keys) != 1 or len(values) != 1:
        return f"{len(keys)} lists of keys and {len(values)} of values: exactly one is asked for"
    return "" if keys == values else f"{keys[0]:,} keys and {values[0]:,} values"


def _dimensions(node: NodeUse, settings: Settings, release: Release) -> str:
    return "" if dict(node.lengths).get("inputdimensions") else "no inputdimensions"


Rule = Callable[[NodeUse, Settings, Release], str]
RULES: Mapping[tuple[str, str], Rule] = {
    ("ai.onnx.ml", name): rule
    for name, rule in {
        "TreeEnsembleClassifier": trees,
        "TreeEnsembleRegressor": trees,
        "ZipMap": _exactly_one("classlabels_strings", "classlabels_int64s"),
        "OneHotEncoder": _exactly_one("cats_int64s", "cats_strings"),
        "Imputer": _exactly_one("imputed_value_floats", "imputed_value_int64s"),
        "Scaler": _scaler,
        "Normalizer": _norm,
        "LinearClassifier": _linear_classifier,
        "LinearRegressor": _linear_regressor,
        "SVMClassifier": _vectors,
        "SVMRegressor": _vectors,
        "CategoryMapper": _categories,
        "LabelEncoder": _labels,
        "FeatureVectorizer": _dimensions,
    }.items()
}
"""By domain and name: why that release cannot be given the node, or an empty string."""
