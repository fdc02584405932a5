"""docs/reference/matrix.md leaves out no table, no key and no word that a row may hold."""

import re
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from promote.core.matrix import Tables
from promote.core.target_rows import TargetRow

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "matrix.md").read_text()
QUOTED = set(re.findall(r"[A-Za-z_0-9]+", " ".join(re.findall(r"`([^`\n]*)`", PAGE))))


def keys_and_words(annotation):
    """Keys of the models in a type, and the words its literals allow."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield field.alias or name
            yield from keys_and_words(field.annotation)
    elif typing.get_origin(annotation) is typing.Literal:
        yield from (word for word in typing.get_args(annotation) if isinstance(word, str))
    else:
        for inner in typing.get_args(annotation):
            yield from keys_and_words(inner)


@pytest.mark.parametrize("model", [Tables, TargetRow])
def test_every_table_key_and_word_is_on_the_page(model):
    named = set(keys_and_words(model))
    assert len(named) > 15
    assert named - QUOTED == set()


def test_the_page_is_short():
    assert len(PAGE.splitlines()) <= 140
