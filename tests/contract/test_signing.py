"""Signatures of decisions by the real ssh-keygen; each that shows nobody with its twin that names its signer."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from promote.adapters.signing import AllowedSigners, SshKey
from promote.core.decisions import decision_event, review_of
from promote.core.events import write_line
from promote.core.review import APPROVED, REJECTED, Review
from promote.core.signed import NAMESPACE, Seen, statement
from promote.core.stages import Stored
from promote.errors import AuthError, InputError, NotFound, Unavailable

STORED = Stored(
    repository="oci:/b/ner",
    digest="sha256:" + "1" * 64,
    name="ner",
    version=7,
    files={},
    annotations={},
    manifest=b"{}",
)
SAID = Review(
    state=APPROVED, digest=STORED.digest, by="ada@desk", how="claimed", reason="F1 ≥ 0.9\nof ships",
    at="2026-11-24T10:00:00.000000Z", verdict="compatible",
    host={"gpu": "RTX 6000 Ada"}, policy="sha256:" + "2" * 64, matrix="sha256:" + "3" * 64,
)  # fmt: skip
WORDS = statement(STORED, "calypso", SAID)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Folder with the keys of ada and eve, an RSA one, and one with a passphrase."""
    folder = tmp_path_factory.mktemp("keys")
    for name, kind, word in (
        ("ada", "ed25519", ""),
        ("eve", "ed25519", ""),
        ("old", "rsa", ""),
        ("locked", "ed25519", "secret words"),
    ):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", word, "-f", folder / name], check=True)
    return folder


@pytest.fixture
def signers(keys, tmp_path):
    """Writes the file of signers; ``KEY`` in a line is that key's public part."""

    def write(*lines):
        path = tmp_path / "allowed_signers"
        told = []
        for line in lines:
            head, _, name = line.rpartition(" ")
            told.append(f"{head} {' '.join((keys / f'{name}.pub').read_text().split()[:2])}\n")
        path.write_text("".join(told))
        return AllowedSigners(path)

    return write


def test_who_signed_is_named_as_the_file_names_the_key(keys, signers):
    allowed = signers("bob@example.com old", f'ada@example.com namespaces="{NAMESPACE}" ada')
    for name, signer in (("ada", "ada@example.com"), ("old", "bob@example.com")):
        assert allowed.check(WORDS, SshKey(keys / name).sign(WORDS)) == Seen(signer=signer)


def test_a_key_that_an_agent_holds_signs_by_its_public_part(keys, signers, monkeypatch):
    told = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    env = dict(part.split("=", 1) for line in told.splitlines() for part in line.split(";")[:1] if "=" in part)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    try:
        subprocess.run(["ssh-add", "-q", keys / "ada"], check=True)
        public = keys.parent / f"{keys.name}-alone.pub"
        public.write_text((keys / "ada.pub").read_text())
        assert signers("ada@example.com ada").check(WORDS, SshKey(public).sign(WORDS)).signer == "ada@example.com"
    finally:
        subprocess.run(["ssh-agent", "-k"], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("what", "target"),
    [
        ({}, "orin"),
        ({"digest": "sha256:" + "4" * 64}, "calypso"),
        ({"name": "port"}, "calypso"),
        ({"version": 8}, "calypso"),
    ],
)
def test_a_signature_moved_to_another_bundle_or_target_shows_nobody(keys, signers, what, target):
    signature = SshKey(keys / "ada").sign(WORDS)
    moved = statement(replace(STORED, **what), target, SAID)
    seen = signers("ada@example.com ada").check(moved, signature)
    assert seen.signer == ""
    assert "made of another digest, target or words" in seen.doubt


@pytest.mark.parametrize("field", ["state", "by", "how", "reason", "at", "verdict", "policy", "matrix", "host"])
def test_every_word_of_a_decision_is_signed(keys, signers, field):
    signature = SshKey(keys / "ada").sign(WORDS)
    other = {"state": REJECTED, "host": {"gpu": "T4"}}.get(field, "other")
    changed = statement(STORED, "calypso", replace(SAID, **{field: other}))
    assert signers("ada@example.com ada").check(changed, signature).signer == ""


def test_a_decision_that_was_kept_as_an_event_and_read_back_is_the_one_that_was_signed(keys, signers):
    signed = replace(SAID, signature=SshKey(keys / "ada").sign(WORDS))
    event = replace(decision_event(STORED, "calypso", signed), noted=SAID.at)
    back = review_of(write_line(event))
    assert back.reason != SAID.reason  # on one line
    assert signers("ada@example.com ada").check(statement(STORED, "calypso", back), back.signature).signer


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ada@example.com ada", "lets nobody sign with its ED25519 key SHA256:"),
        ('eve@example.com valid-before="20250101" eve', "key has expired"),
        ('eve@example.com namespaces="git" eve', "not permitted for use in signature namespace"),
        ("*@example.com eve", "lets nobody sign"),
        ("eve@example.com cert-authority eve", "lets nobody sign"),
    ],
)
def test_a_key_that_the_file_does_not_let_sign_shows_nobody_and_says_why(keys, signers, line, why):
    seen = signers(line).check(WORDS, SshKey(keys / "eve").sign(WORDS))
    assert seen.signer == ""
    assert why in seen.doubt


@pytest.mark.parametrize("forged", ["", "AAAA", "not base64 at all", "é", "x" * 3000])
def test_what_is_no_signature_shows_nobody(signers, forged):
    assert signers("ada@example.com ada").check(WORDS, forged).doubt.startswith("it is not of this decision: forged")


def test_a_signature_made_for_something_else_shows_nobody(keys, signers):
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", keys / "ada", "-n", "file"], input=WORDS, capture_output=True, check=True
    )
    body = "".join(done.stdout.decode().splitlines()[1:-1])
    assert signers("ada@example.com ada").check(WORDS, body).signer == ""


def test_what_cannot_sign_or_be_checked_is_told(keys, signers, tmp_path, monkeypatch):
    with pytest.raises(NotFound, match="no key"):
        SshKey(tmp_path / "none").sign(WORDS)
    with pytest.raises(AuthError, match="signs nothing: "):
        SshKey(tmp_path / "allowed_signers").sign(WORDS) if signers("ada@example.com ada") else None
    with pytest.raises(InputError, match="no file of signers"):
        AllowedSigners(tmp_path / "none").check(WORDS, SshKey(keys / "ada").sign(WORDS))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="ssh-keygen is not here"):
        SshKey(keys / "ada").sign(WORDS)


def test_a_key_with_a_passphrase_and_nobody_to_type_it_is_told(keys):
    # without a terminal ssh-keygen has nobody to ask
    text = (
        "import pathlib, sys; from promote.adapters.signing import SshKey; from promote.errors import AuthError\n"
        "try: SshKey(pathlib.Path(sys.argv[1])).sign(b'secret words')\n"
        "except AuthError as error: print(error.message, '|', error.hint)"
    )

    done = subprocess.run(
        [sys.executable, "-c", text, keys / "locked"], capture_output=True, text=True, check=True, start_new_session=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "signs nothing" in done.stdout
    assert "ssh-add" in done.stdout
