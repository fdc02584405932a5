"""The graph of a large ONNX file without its weights: the protobuf wire format walked, values of tensors skipped unread.

What comes back is the file's message without the values of its tensors, for protobuf to parse: of a file of a gigabyte some
hundred kilobytes are read. Whatever is wrong with the file is an ``IntegrityError``. Not here: what the message says.
Source: https://protobuf.dev/programming-guides/encoding/; the fields are those that onnx's own descriptors name.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Any

from promote.adapters.onnx_package import messages
from promote.core.names import printable
from promote.errors import IntegrityError

_WINDOW = 16_384
_SLACK = 24  # bytes of a window that hold any tag with its length
_WHOLE = 4096  # bytes of a message that is kept without a look inside
_KEPT = 32 * 1024 * 1024  # bytes kept that way; where there are more, every field is looked at and counted
_MOST_KEPT = 512 * 1024 * 1024
_MOST_FIELDS = 3_000_000  # protobuf takes some hundred bytes for each
_DEEPEST = 100  # protobuf's own limit
_SMALL = 1024  # bytes of values that are kept: shapes, axes...
_LONG = 65_536  # bytes of an attribute whose lists are left out

_DROPPED, _VALUES, _RAW, _TEXTS, _LIST = "dropped", "values", "raw", "texts", "list"
_TENSOR = dict.fromkeys(("float_data", "int32_data", "int64_data", "double_data", "uint64_data"), _VALUES) | {
    "raw_data": _RAW,
    "string_data": _TEXTS,
}
_ATTRIBUTE = dict.fromkeys(("floats", "ints", "strings", "s"), _LIST)
_RUNS = {0: rb"(?:%s[\x80-\xff]{0,9}[\x00-\x7f])+", 5: rb"(?:%s[\x00-\xff]{4})+"}  # numbers one by one, not packed
# TensorProto.segment, which nobody writes: here it says what was left out of a tensor.
_SEGMENT, _BEGIN, _END = b"\x1a", b"\x08", b"\x10"
LEFT_OUT = "promote: left out"
"""``AttributeProto.doc_string`` of an attribute whose list was left out."""
_DOC_STRING = b"\x6a"

Fields = dict[int, Any]
"""What becomes of each field of a message that is not simply kept: a word above, or the ``Fields`` of a message."""


def skim(handle: int, size: int, name: str) -> bytes:
    """The model's message without values of tensors, long lists of attributes, and words for readers.

    Values of at most 1 KiB are kept. Of a tensor ``segment`` says that some were left out: ``end`` how many bytes of texts, and
    ``begin`` one more than the bytes of raw data; 0: they were no raw data. Of an attribute ``doc_string`` says so: ``LEFT_OUT``.

    Args:
        handle: of the file, to be read at any place.
        size: its bytes.
        name: for messages.

    Raises:
        IntegrityError: truncated, damaged, nested deeper than protobuf allows, or too much of it is no weights.
        OSError: it cannot be read.
    """
    fields = _fields(messages().ModelProto.DESCRIPTOR, {})
    try:
        walk = _Walk(handle, name, _WHOLE)
        pieces, kept = walk.message(0, size, fields, 0) or ([(0, size)], size)
        if kept > _KEPT:
            walk = _Walk(handle, name, 0)
            pieces, kept = walk.message(0, size, fields, 0) or ([(0, size)], size)
    except IndexError as error:
        raise IntegrityError(f"{printable(name)} is no ONNX model, or truncated") from error
    if kept > _MOST_KEPT:
        raise walk.refusal(f"its graph has {kept:,} bytes, expected at most {_MOST_KEPT:,}")
    return b"".join([p if isinstance(p, bytes) else os.pread(handle, p[1] - p[0], p[0]) for p in pieces])


def _fields(descriptor: Any, known: dict[str, Fields]) -> Fields:
    """Of a message, by onnx's own descriptor."""
    if descriptor.full_name not in known:
        made = known[descriptor.full_name] = {}
        special = {"TensorProto": _TENSOR, "AttributeProto": _ATTRIBUTE}.get(descriptor.name, {})
        for one in descriptor.fields:
            if one.name in ("doc_string", "metadata_props") and descriptor.name != "ModelProto":
                made[one.number] = _DROPPED
            elif one.name in special:
                made[one.number] = special[one.name]
            elif one.message_type is not None:
                made[one.number] = _fields(one.message_type, known)
    return known[descriptor.full_name]


Piece = bytes | tuple[int, int]
"""Bytes, or where they lie in the file: from, to."""


@dataclass(slots=True)
class _Kept:
    """What is kept of one message: ranges of the file, between them what was written anew."""

    start: int
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0

    def drop(self, start: int, end: int) -> None:
        """All before ``start`` is kept, what follows up to ``end`` is not."""
        if start > self.start:
            self.pieces.append((self.start, start))
            self.size += start - self.start
        self.start = end

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)


@dataclass(slots=True)
class _Walk:
    handle: int
    name: str
    whole: int
    window: bytes = b""
    base: int = 0
    steps: int = 0

    def refusal(self, why: str) -> IntegrityError:
        return IntegrityError(f"{printable(self.name)} is no ONNX model, or damaged: {why}")

    def message(self, start: int, end: int, fields: Fields, depth: int) -> tuple[list[Piece], int] | None:
        """What is kept of the message there, and its bytes; ``None``: all of it."""
        if depth > _DEEPEST:
            raise self.refusal(f"it nests deeper than {_DEEPEST} messages")
        kept, at, texts, long = _Kept(start), start, 0, end - start > _LONG
        raw: int | None = None
        listed = False
        while at < end:
            body, stop, tag, wire = self.field(at, end)
            what = fields.get(tag >> 3)
            if what is None:
                pass
            elif what is _LIST:
                if long:
                    stop, listed = self.run(at, stop, end, wire), True
                    kept.drop(at, stop)
            elif wire != 2:
                pass
            elif what is _TEXTS or what is _DROPPED:
                texts += stop - body if what is _TEXTS else 0
                kept.drop(at, stop)
            elif what is _VALUES or what is _RAW:
                if stop - body > _SMALL:
                    raw = stop - body + 1 if what is _RAW else raw or 0
                    kept.drop(at, stop)
            elif stop - body > self.whole and (inner := self.message(body, stop, what, depth + 1)) is not None:
                kept.drop(at, stop)
                kept.write(_number(tag) + _number(inner[1]))
                kept.pieces += inner[0]
                kept.size += inner[1]
            at = stop
        if said := _left_out(listed, raw, texts):
            kept.drop(end, end)
            kept.write(said)
        if kept.start == start and not kept.pieces:
            return None
        kept.drop(end, end)
        return kept.pieces, kept.size

    def field(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Of the field there: where its content begins and ends, its tag and wire type."""
        self.steps += 1
        if self.steps > _MOST_FIELDS:
            raise self.refusal(f"its graph has more than {_MOST_FIELDS:,} parts")
        place = at - self.base
        if place < 0 or place + _SLACK > len(self.window):
            self.window, self.base, place = os.pread(self.handle, _WINDOW, at), at, 0
        tag, place = self.varint(place)
        wire, stop = tag & 7, 0
        if wire == 2:
            length, place = self.varint(place)
            stop = place + length
        elif wire == 0:
            _, stop = self.varint(place)
        elif wire in (1, 5):
            stop = place + (8 if wire == 1 else 4)
        if not stop or not 8 <= tag < 1 << 32:
            raise self.refusal(f"at byte {at:,} no field begins")
        if self.base + stop > end:
            raise self.refusal(f"the field at byte {at:,} ends at {self.base + stop:,}, behind its message or the file")
        return self.base + place, self.base + stop, tag, wire

    def varint(self, place: int) -> tuple[int, int]:
        """A number of the window, and where it ends."""
        window = self.window
        if (number := window[place]) < 128:
            return number, place + 1
        number &= 127
        for more in range(1, 10):
            byte = window[place + more]
            number |= (byte & 127) << 7 * more
            if byte < 128:
                return number, place + more + 1
        raise self.refusal(f"at byte {self.base + place:,} a number does not end")

    def run(self, at: int, stop: int, end: int, wire: int) -> int:
        """Where the numbers of one list end that begin there, as far as the window shows them."""
        if wire not in _RUNS:
            return stop
        place = at - self.base
        tag = re.escape(self.window[place : place + 1])
        found = re.compile(_RUNS[wire] % tag).match(self.window, place, min(len(self.window), end - self.base))
        return max(stop, self.base + found.end()) if found else stop


def _left_out(listed: bool, raw: int | None, texts: int) -> bytes:
    """The field that says what was left out of an attribute or a tensor; empty where nothing was."""
    if listed:
        return _DOC_STRING + _number(len(LEFT_OUT)) + LEFT_OUT.encode()
    if not texts and raw is None:
        return b""
    said = _BEGIN + _number(raw or 0) + _END + _number(texts)
    return _SEGMENT + _number(len(said)) + said


def _number(number: int) -> bytes:
    """A varint."""
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
