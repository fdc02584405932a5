"""What a registry would refuse in the end, refused before the first byte: a file too large, or too slow on this line.

Not here: what the limits are (``core.registries``) and how a rate is measured (``upload_rate``).
"""

from collections.abc import Mapping

from promote.adapters.oci.moves import AT_ONCE
from promote.adapters.oci.store import BlobStore
from promote.core.matrix_rows import RegistryLimits
from promote.core.registries import at_once, rate_matters
from promote.core.stages import Blob
from promote.errors import InputError, Unavailable


def refuse_too_large(files: Mapping[str, Blob], limits: RegistryLimits | None) -> None:
    """Passes where the registry takes every file, by its size.

    Raises:
        InputError: a file beyond what it takes.
    """
    most = limits.largest_layer if limits else None
    path, blob = max(files.items(), key=lambda item: item[1].size)
    if limits and most and blob.size > most:
        raise InputError(
            f"{path} has {blob.size:,} bytes, {limits.host} takes {most:,} at most ({limits.source})",
            hint="nothing was sent: weights lie in files cut along tensors, and one tensor is larger than that; "
            "push to another registry with --registry",
        )


def crew_in_time(files: Mapping[str, Blob], limits: RegistryLimits | None, store: BlobStore) -> int:
    """How many files may travel at once, so that each arrives in the time that the registry gives it.

    Raises:
        Unavailable: the largest would not even alone, at the rate that was measured.
    """
    blobs = {blob.digest: blob for blob in files.values()}
    if limits is None or not rate_matters(limits, [blob.size for blob in blobs.values()], AT_ONCE):
        return AT_ONCE
    sizes = [blob.size for blob in blobs.values() if not store.has(blob) and not store.mount(blob)]
    if not rate_matters(limits, sizes, AT_ONCE):
        return AT_ONCE
    rate = store.rate()
    if crew := at_once(limits, sizes, rate, AT_ONCE):
        return crew
    path = next(path for path, blob in files.items() if blob.size == max(sizes))
    raise Unavailable(
        f"{path} has {max(sizes):,} bytes: about {max(sizes) / rate / 60:,.0f} minutes at the {rate / 1e6:,.1f} MB/s measured to "
        f"{limits.host}, where an upload ends after {(limits.upload_seconds or 0) / 60:,.0f} ({limits.source})",
        hint="no file was sent: push over a faster line, from a workflow at GitHub for instance, or to another registry "
        "with --registry",
    )
