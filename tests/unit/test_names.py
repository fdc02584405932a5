"""Names from outside: what is refused, and that nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.names import bundle_path, digest, distinct_paths, model_name, printable, suggest_name
from promote.errors import InputError, IntegrityError


@pytest.mark.parametrize("name", ["ner", "n", "ner-baseline", "a.b_c-9", "0", "x" * 64])
def test_allowed_names_come_back(name):
    assert model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "..",
        "a..b",
        "Ner",
        "x" * 65,
        "x" * 300,
        "-a",
        "a-",
        ".a",
        "a b",
        "a\n",
        "a\x00",
        "né",
        "ner:v1",
        "$(id)",
        "-rf",
    ],
)
def test_other_names_are_refused_in_one_clear_line(name):
    with pytest.raises(InputError) as refused:
        model_name(name)
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 300
    assert "a-z 0-9" in refused.value.message
    assert refused.value.hint


@given(st.text(max_size=300))
def test_a_suggestion_is_itself_a_name_or_nothing(text):
    suggestion = suggest_name(text)
    assert suggestion == "" or model_name(suggestion) == suggestion


def test_an_upper_case_name_is_answered_with_its_lower_case_form():
    with pytest.raises(InputError) as refused:
        model_name("Maritime NER")
    assert "--name maritime-ner" in refused.value.hint


@pytest.mark.parametrize("text", ["sha256:" + "a" * 64])
def test_a_digest_comes_back(text):
    assert digest(text) == text


@pytest.mark.parametrize(
    "text", ["sha256:../../x", "sha256:" + "A" * 64, "sha512:" + "a" * 128, "sha256:" + "a" * 64 + "\n", "a" * 64, ""]
)
def test_another_digest_grammar_is_refused(text):
    with pytest.raises(IntegrityError):
        digest(text)


@pytest.mark.parametrize("path", ["ner/1/model.onnx", "a", "a/b.c", "ner/1/tokenizer/vocab.txt", "a/weights.bin.0"])
def test_plain_paths_come_back(path):
    assert bundle_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/x",
        "a/../../x",
        "..\\x",
        "C:x",
        "a//b",
        "./a",
        "a/.",
        "a\x00b",
        "a\nb",
        "",
        "~/x",
        "a/",
        "e\u0301",
        "x\u202eonnx",
    ],
)
def test_paths_that_leave_or_deceive_are_refused(path):
    with pytest.raises(IntegrityError):
        bundle_path(path)


@pytest.mark.parametrize("paths", [["A", "a"], ["a", "a/b"], ["x", "x"], ["model.ONNX", "model.onnx"]])
def test_paths_that_some_file_system_takes_for_one_are_refused(paths):
    with pytest.raises(IntegrityError):
        distinct_paths(paths)


def test_distinct_paths_pass():
    distinct_paths(["a/b", "a/c", "b"])


@given(st.text())
def test_printable_text_holds_no_control_character_and_keeps_its_limit(text):
    shown = printable(text, 80)
    assert len(shown) <= 80
    assert shown.isprintable() or shown == ""
    assert "\x1b" not in shown
