"""What ``promote model`` tells of the variants that a version has beside the model's own precision."""

from typing import Any

from promote.core.stages import Bundle, Release


def variants_of(release: Release) -> list[dict[str, Any]]:
    """Each of them, and its digest; none where the bundle is the version's only one."""
    return [told(bundle) | {"digest": digest} for digest, bundle in release.variants]


def lines_of(release: Release) -> dict[str, str]:
    """The same, a line each."""
    return {one["variant"]: line(one) for one in variants_of(release)}


def told(bundle: Bundle) -> dict[str, Any]:
    """What is known of one: its verdict, its size, and what its precision costs."""
    proven = bundle.verdict.subject
    worst, lowered = proven.parity.worst, proven.lowered
    return {
        "variant": f"{proven.export.plan.format}-{proven.export.plan.precision}",
        "verdict": bundle.verdict.word,
        "size": sum(blob.size for blob in bundle.files.values()),
        "max_absolute": worst.max_absolute,
        "tolerance": {"absolute": proven.parity.tolerance.absolute, "relative": proven.parity.tolerance.relative},
        "decisions": {"same": lowered.same, "of": lowered.decisions} if lowered else None,
        "metric": lowered.metric if lowered else "",
        "run_as": lowered.run_as if lowered else "",
    }


def line(one: dict[str, Any]) -> str:
    """One of them for a reader."""
    allowed, decisions = one["tolerance"], one["decisions"]
    same = f", {decisions['same']} of {decisions['of']} decisions the same" if decisions and decisions["of"] else ""
    run_as = f"; run as {one['run_as']}" if one["run_as"] else ""
    return (
        f"{one['verdict']}, {one['size']:,} bytes, largest difference {one['max_absolute']:.2g} "
        f"(allowed {allowed['absolute']:g} + {allowed['relative']:g} x value){same}; metric {one['metric']}{run_as}"
    )
