"""How often a registry's refusal is tried again, and what is told in the end."""

import io
from types import SimpleNamespace

import pytest

from promote.adapters.oci.failures import Again, NoPackageRight, Patience, refusal
from promote.errors import AuthError, Unavailable


def answer(state, text="", **headers):
    raw = SimpleNamespace(read=lambda most, decode_content: io.BytesIO(text.encode()).read(most))
    url = "https://registry/v2/acme/ner/blobs/uploads/"
    return SimpleNamespace(
        status_code=state, url=url, headers={k.replace("_", "-"): v for k, v in headers.items()}, raw=raw
    )


def tries(*states, host="ghcr.io", text=""):
    """How many requests were sent until it went well or patience ended, and what that raised."""
    sent, slept = [], []

    def attempt():
        sent.append(1)
        if len(sent) <= len(states):
            raise refusal("POST", answer(states[len(sent) - 1], text), host)

    try:
        Patience(sleep=slept.append).during(attempt)
    except (AuthError, Unavailable) as error:
        return len(sent), type(error)
    return len(sent), None


@pytest.mark.parametrize(
    ("states", "host", "told"),
    [
        ((403,), "ghcr.io", (2, None)),  # passes
        ((403, 403), "ghcr.io", (3, None)),
        ((403,) * 9, "ghcr.io", (3, AuthError)),
        ((403,) * 9, "registry.example.com", (1, AuthError)),  # means it
        ((503,) * 9, "ghcr.io", (5, Unavailable)),
        ((401,) * 9, "ghcr.io", (1, AuthError)),
    ],
)
def test_a_refusal_is_tried_again_where_it_may_pass(states, host, told):
    assert tries(*states, host=host) == told


def test_a_right_that_is_named_as_missing_does_not_come_by_asking_again():
    assert tries(*(403,) * 9, text='{"errors":[{"code":"DENIED","message":"permission_denied: write_package"}]}') == (
        1,
        NoPackageRight,
    )


def test_what_is_told_in_the_end_is_the_refusal_itself():
    error = refusal("POST", answer(403), "ghcr.io")
    assert isinstance(error, Again)
    assert "answers 403 to POST" in error.error.message
