"""Lists of a TreeEnsemble's attributes that must fit each other, and words that classical models take; see ``constructors``.

Sources: onnxruntime core/providers/cpu/ml/tree_ensemble_attribute.h, tree_ensemble_common.h; ml_common.h for words. Measured in
1.16.3 to 1.32.0. Not here: whether the trees themselves make sense.
"""

from collections.abc import Mapping

from promote.core.facts import NodeUse, Told

Settings = Mapping[str, Told]
Release = tuple[int, ...]
Lengths = Mapping[str, int]
_STRICT = (1, 23)  # from here on, a word that is not known is no longer taken for the last one
_WORDS = {
    "post_transform": ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"),
    "aggregate_function": ("AVERAGE", "SUM", "MIN", "MAX"),
    "kernel_type": ("LINEAR", "POLY", "RBF", "SIGMOID"),
}
_NODES = ("nodes_featureids", "nodes_modes", "nodes_nodeids", "nodes_treeids", "nodes_truenodeids")


def trees(node: NodeUse, settings: Settings, release: Release) -> str:
    """What does not fit in a ``TreeEnsembleClassifier`` or ``TreeEnsembleRegressor``, or an empty string."""
    have = dict(node.lengths)
    classifier = node.name == "TreeEnsembleClassifier"
    classes = max(have.get("classlabels_strings", 0), have.get("classlabels_int64s", 0))
    targets = classes if classifier else settings.get("n_targets", 0)
    if isinstance(targets, int) and targets <= 0:
        return "no classes" if classifier else f"n_targets is {targets}"
    values = max(have.get("nodes_values", 0), have.get("nodes_values_as_tensor", 0))
    prefix = "class" if classifier else "target"
    weights = max(have.get(f"{prefix}_weights", 0), have.get(f"{prefix}_weights_as_tensor", 0))
    ends = {name: have.get(f"{prefix}_{name}", 0) for name in ("ids", "nodeids", "treeids")}
    nodes = {name: have.get(name, 0) for name in ("nodes_falsenodeids", *_NODES)} | {"nodes_values": values}
    if classifier and (1, 21) <= release < (1, 25):
        return _read_by_index(nodes, ends, weights) or words(node, settings, release)
    wrong = _unequal(nodes) or _unequal({f"{prefix}_{name}": count for name, count in ends.items()})
    if not wrong and (weights < ends["ids"] or (weights > ends["ids"] and release >= (1, 20))):
        wrong = f"{prefix}_weights of {weights:,}, {prefix}_ids of {ends['ids']:,}"
    bases = max(have.get("base_values", 0), have.get("base_values_as_tensor", 0))
    few = classifier and isinstance(targets, int) and targets <= 2
    if not wrong and release >= (1, 27) and bases and (bases > 2 if few else bases != targets):
        wrong = f"base_values of {bases}, for {targets} classes or targets"
    return wrong or words(node, settings, release)


def _read_by_index(nodes: Lengths, ends: Lengths, weights: int) -> str:
    """Classifiers of 1.21 to 1.24 do not compare: they read each list at the number of a node, up to the end of another."""
    asked = nodes["nodes_treeids"]
    each = [
        name for name in nodes if name not in ("nodes_truenodeids", "nodes_falsenodeids")
    ]  # leaves have no number there
    short = [name for name in each if nodes[name] < asked] + [name for name in nodes if asked and not nodes[name]]
    if short or asked < min(nodes[name] for name in each if name != "nodes_treeids"):
        return f"{(short or ['nodes_treeids'])[0]} is shorter than other lists of its nodes"
    if ends["nodeids"] > min(ends["ids"], ends["treeids"], weights) or ends["ids"] > weights:
        return "class_ids, class_treeids or class_weights is shorter than other lists of its classes"
    return ""


def _unequal(lengths: Lengths) -> str:
    if len(set(lengths.values())) < 2:
        return ""
    return "lists of different length: " + ", ".join(f"{name} {count:,}" for name, count in sorted(lengths.items()))


def words(node: NodeUse, settings: Settings, release: Release) -> str:
    """A word that the release does not know, or an empty string."""
    for name, known in _WORDS.items() if release >= _STRICT else ():
        if isinstance(given := settings.get(name), str) and given not in known:
            return f"{name} {given!r}, which is none of {', '.join(known)}"
    return ""
