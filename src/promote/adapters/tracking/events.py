"""Events as tags of the model version, each under a key of its own, so that two who write at once lose nothing.

Not here: what an event is, and whether it was changed (``core.events``, ``core.chain``).
"""

from collections.abc import Mapping

from promote.adapters.tracking.versions import Versions

_HEAD = "promote.event."


def read_events(versions: Versions, version: int) -> Mapping[str, str]:
    """Key -> line of all that lie on a version, unchecked."""
    tags = versions.tags(version)
    return {key.removeprefix(_HEAD): text for key, text in tags.items() if key.startswith(_HEAD)}


def write_events(versions: Versions, version: int, lines: Mapping[str, str]) -> None:
    """Puts those on the version that are not there."""
    there = read_events(versions, version)
    versions.tag(version, {f"{_HEAD}{key}": text for key, text in lines.items() if there.get(key) != text})
