"""References: which registry, model and version a typed text names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.core.names import MODEL_NAME
from promote.core.references import Reference, parse_reference, scheme_of
from promote.errors import InputError

PIN = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "base", "name", "version"),
    [
        ("ner:v3", "", "ner", "v3"),
        (f"ner@{PIN}", "", "ner", PIN),
        ("ghcr.io/acme/models/ner:v3", "ghcr.io/acme/models", "ner", "v3"),
        (f"ghcr.io/acme/ner@{PIN}", "ghcr.io/acme", "ner", PIN),
        ("127.0.0.1:5000/ner:v1", "127.0.0.1:5000", "ner", "v1"),
        ("http://127.0.0.1:5000/models/ner:v1", "http://127.0.0.1:5000/models", "ner", "v1"),
        ("https://ghcr.io/ner:latest", "https://ghcr.io", "ner", "latest"),
        ("oci:bundles/ner:v1", "oci:bundles", "ner", "v1"),
        ("oci:/srv/my bundles/a@b:c/ner:v1", "oci:/srv/my bundles/a@b:c", "ner", "v1"),
        (f"oci:../ner@{PIN}", "oci:..", "ner", PIN),
        ("oci:ner:v1", "oci:.", "ner", "v1"),
        ("oci:/ner:v1", "oci:/", "ner", "v1"),
    ],
)
def test_every_form_names_registry_model_and_version(text, base, name, version):
    found = parse_reference(text)
    assert found == Reference(base, name, version)
    assert parse_reference(str(found)) == found


def test_a_model_alone_is_taken_where_no_version_is_asked_for():
    assert parse_reference("127.0.0.1:5000/ner", versioned=False) == Reference("127.0.0.1:5000", "ner", "")
    assert parse_reference("ner:v1", versioned=False).version == "v1"
    with pytest.raises(InputError, match="names no version"):
        parse_reference("127.0.0.1:5000/ner")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no version"),
        ("ner", "names no version"),
        ("ner:", "names no version"),
        ("ner@", "names no version"),
        ("ner:v1:v2", "names no version"),
        ("ner:-v1", "names no version"),
        (f"ner:v1@{PIN}", "names no version"),
        (f"ner@{PIN[:-1]}", "names no version"),
        (f"ner@{PIN.upper()}", "names no version"),
        (":v1", "names no model"),
        ("ghcr.io/acme/:v1", "names no model"),
        ("Ner:v1", "names no model"),
        ("a..b:v1", "names no model"),
        ("ner\n:v1", "names no model"),
        ("/ner:v1", "names no registry"),
        ("http://ner:v1", "names no registry"),
        ("oci:a\nb/ner:v1", "names no registry"),
        ("oci://ghcr.io/acme/ner:v1", "no registry or layout"),
        ("s3://bucket/ner:v1", "no registry or layout"),
        ("docker://ghcr.io/acme/ner:v1", "no registry or layout"),
        ("https://ghcr.io/acme/ner:v1?x=1", "names no version"),
    ],
)
def test_what_is_none_is_told_so(text, told):
    with pytest.raises(InputError, match=told) as refused:
        parse_reference(text)
    assert "\n" not in refused.value.message


def test_a_secret_in_the_address_is_not_shown():
    with pytest.raises(InputError) as refused:
        parse_reference("https://ada:hunter2@ghcr.io/acme/ner:v1")
    assert "hunter2" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize(
    ("text", "scheme"), [("ner:v1", ""), ("oci:x/ner", "oci"), ("s3://b/p", "s3"), ("HF://a/b", "hf"), ("h:5000/n", "")]
)
def test_the_scheme_of_a_text(text, scheme):
    assert scheme_of(text) == scheme


@settings(deadline=None)
@given(
    st.sampled_from(["", "ghcr.io/acme", "127.0.0.1:5000", "http://h:1/p", "oci:.", "oci:/", "oci:/srv/b", "oci:b c"]),
    st.from_regex(MODEL_NAME, fullmatch=True).filter(lambda name: ".." not in name),
    st.sampled_from(["", "v1", "latest", PIN]),
)
def test_what_is_printed_can_be_typed_again(base, name, version):
    assert parse_reference(str(Reference(base, name, version)), versioned=False) == Reference(base, name, version)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_an_error_of_one_line(text):
    try:
        found = parse_reference(text, versioned=False)
    except InputError as error:
        told = error.message
    else:
        assert MODEL_NAME.fullmatch(found.name)
        told = str(found)
    assert "\n" not in told
