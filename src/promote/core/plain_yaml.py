"""YAML as far as files that people review need it: its safe subset, no repeated keys, no anchors. Pure."""

from collections.abc import Hashable
from typing import Any

import yaml

_DEEPEST = 20

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):  # type: ignore[misc]
    """YAML's safe subset without repeated keys; anchors and aliases are refused before."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key that is no text", key)
            if key.value in seen:
                raise _refused(f"repeated key {key.value!r}", key)
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def plain_yaml(text: str) -> Any:
    """What a YAML text holds: plain values alone.

    Raises:
        YAMLError: no YAML, nested too deeply, a repeated key, an anchor or an alias; the message names the line.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:  # the C loader composes by recursion, on a stack that Python does not guard
            raise _refused("nested too deeply", event)
        if getattr(event, "anchor", None) is not None:
            raise _refused("anchors and aliases are refused", event)
    loader = _Strict(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _refused(fault: str, at: yaml.Event | yaml.Node) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {at.start_mark.line + 1 if at.start_mark else '?'}: {fault}")
