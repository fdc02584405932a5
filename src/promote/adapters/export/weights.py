"""Weights in files of their own, cut along tensors: what a fine-tuning leaves alone is the same file, and is not sent again.

A registry knows a file by its digest, so one file with all weights is new when a single weight is. Which tensors share a file
follows from their order, names and sizes alone, never from their values: the same architecture is cut the same way.
Not here: how bytes travel (``oci``), nor the rest of the model's file (``torch_export``).
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

FOLDER = "weights"
# A model below this is one file: a request for each of some files costs more than sending it again.
_WORTH_IT = 8 * 1024 * 1024
# Tensors up to this stay inside model.onnx, as biases and norms do: a file each would be many, and they are little together.
_INSIDE = 16 * 1024
# A file is closed before it grows beyond this; a larger tensor has a file alone. Small, as a changed tensor costs its whole file:
# 1.6 % of a DistilBERT. Large enough that a model of 10 GB, whose tensors are larger, has some hundred files and not thousands.
_FILE = 4 * 1024 * 1024
_PAGE = 4096  # onnx.proto: offsets on pages let a runtime map the file


def cut(tensors: Sequence[tuple[str, int]]) -> list[list[str]]:
    """Which tensors share a file, in the order they came.

    Args:
        tensors: names and bytes, in the graph's order.

    Returns:
        Names, file by file; those that stay inside the model are in none. Empty where the model is small.
    """
    if sum(size for _, size in tensors) < _WORTH_IT:
        return []
    outside = [(name, size) for name, size in tensors if size > _INSIDE]
    # A head is trained while the body stays as it was: parts by the name of the outermost module do not mix. A module around
    # all of them says nothing of which part a tensor is in.
    modules = [name.split(".")[:-1] for name, _ in outside if "." in name]
    depth = 1 + len(list(takewhile(lambda level: len(set(level)) == 1, zip(*modules, strict=False))))
    parts = groupby(outside, key=lambda tensor: tensor[0].split(".")[:-1][:depth] or tensor[0])
    return [names for _, part in parts for names in _files(part)]


def _files(tensors: Iterable[tuple[str, int]]) -> list[list[str]]:
    files: list[list[str]] = []
    filled = _FILE
    for name, size in tensors:
        if not files or filled + size > _FILE:
            files.append([])
            filled = 0
        files[-1].append(name)
        filled += size
    return files


def move_out(model: Any, folder: Path) -> None:
    """Writes the larger initializers of an ``onnx_ir.Model`` to ``folder/weights/`` and has the model point there.

    Raises:
        OSError: as the disk says.
    """
    from onnx_ir import external_data

    held = {
        name: value.const_value for name, value in model.graph.initializers.items() if value.const_value is not None
    }
    files = cut([(name, tensor.nbytes) for name, tensor in held.items()])
    if files:
        (folder / FOLDER).mkdir()
    for number, names in enumerate(files, start=1):
        moved = external_data.convert_tensors_to_external(
            [held[name] for name in names],
            folder,
            f"{FOLDER}/{number:04}.data",
            alignment=_PAGE,
            align_threshold=0,  # onnx_ir would align the largest only
        )
        for name, tensor in zip(names, moved, strict=True):
            model.graph.initializers[name].const_value = tensor
