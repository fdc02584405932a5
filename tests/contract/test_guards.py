"""Each guard around credentials, met by what it guards against; with the guard taken away its test fails."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from promote.adapters.oci import auth, credentials
from promote.adapters.oci.auth import TokenSession
from promote.adapters.oci.origin import is_repository, media_type, origin_of, parse_origin, shown
from promote.adapters.oci.registry import open_registry
from promote.adapters.oci.transport import Transport
from promote.errors import AuthError, InputError, PromoteError, Unavailable
from tests.contract.test_registry_hostile import BASIC, LOGIN, MODEL, Answer, Liar, honest, liar, other  # noqa: F401
from tests.parts.registry import free_port

# What a token service gives.
Tokens = Callable[[str], Answer]


def wants_tokens(registry: Liar, service: Liar, give: Tokens, accepts: Callable[[str], bool] = bool) -> None:
    """Makes ``registry`` take what ``service`` gives."""
    realm = f'Bearer realm="{service.url}/token",service="canary-service",scope="repository:acme/ner:pull"'

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if accepts(headers.get("Authorization", "")):
            return honest(method, path, headers)
        return 401, {"WWW-Authenticate": realm}, b""

    registry.answer = answer
    service.answer = lambda _, path, __: give(path)


def token(text: str) -> Answer:
    return 200, {}, json.dumps({"token": text}).encode()


def fails(registry: Liar, kind: type[PromoteError], match: str, env: dict[str, str] | None = None) -> None:
    """It is refused so, and nothing that was asked or told is in what a traceback would print."""
    with pytest.raises(kind, match=match) as told:
        open_registry(f"{registry.url}/acme", LOGIN if env is None else env).resolve("ner", "v1")
    assert "canary" not in "".join(traceback.format_exception(told.value)).replace(__file__, "")


def test_the_twin_a_good_token_is_taken(liar: Liar, other: Liar) -> None:  # noqa: F811
    wants_tokens(liar, other, lambda _: token("good"), lambda sent: sent == "Bearer good")
    assert open_registry(f"{liar.url}/acme", LOGIN).resolve("ner", "v1").version == 1
    assert other.asked[0][2]["Authorization"] == BASIC


def test_a_token_service_leaves_no_cookie(liar: Liar, other: Liar) -> None:  # noqa: F811
    good = ["one"]
    wants_tokens(
        liar, other, lambda _: (200, {"Set-Cookie": "who=me"}, token(good[0])[2]), lambda s: s == f"Bearer {good[0]}"
    )
    registry = open_registry(f"{liar.url}/acme", LOGIN)
    stored = registry.resolve("ner", "v1")
    good[0] = "two"  # the first has expired
    registry.read(stored, MODEL)
    assert len(other.asked) == 2
    assert not any("Cookie" in headers for _, _, headers in [*other.asked, *liar.asked])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_token_service_that_moves_is_not_followed(liar: Liar, other: Liar, status: int) -> None:  # noqa: F811
    steal = {"Location": f"{other.url}/steal"}
    wants_tokens(liar, other, lambda path: token("good") if path == "/steal" else (status, steal, b""))
    fails(liar, AuthError, f"refuses .{status}")
    assert [path.partition("?")[0] for _, path, _ in other.asked] == ["/token"]


@pytest.mark.parametrize("url", ["https://evil.test/token", "http://ghcr.io/token", "https://169.254.169.254/x", ""])
def test_the_session_for_tokens_goes_nowhere_else(url: str) -> None:
    with pytest.raises(AuthError):
        TokenSession(parse_origin("ghcr.io/acme")).get(url)


@pytest.mark.parametrize(
    "challenge", ['Bearer service="x"', "Bearer", 'Bearer realm=""', 'Bearer realm="/token"', "Digest", ""]
)
def test_a_challenge_without_a_token_service_is_refused(liar: Liar, challenge: str) -> None:  # noqa: F811
    liar.answer = lambda *_: (401, {"WWW-Authenticate": challenge}, b"")
    fails(liar, AuthError, "names no token service|neither Basic nor Bearer")


def test_a_token_service_that_hangs_is_given_up(
    liar: Liar, other: Liar, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr(auth, "READ_SECONDS", 0.3)
    wants_tokens(liar, other, lambda _: (time.sleep(2), token("good"))[1])
    fails(liar, Unavailable, "does not answer")


def test_a_token_service_that_is_not_there_is_told_without_what_it_was_asked(liar: Liar) -> None:  # noqa: F811
    away = Liar(free_port())
    wants_tokens(liar, away, lambda _: token("good"))
    fails(liar, Unavailable, "does not answer")


@pytest.mark.parametrize(
    ("status", "kind"), [(429, Unavailable), (503, Unavailable), (401, AuthError), (404, AuthError)]
)
def test_a_token_service_that_is_busy_is_not_one_that_refuses(
    liar: Liar, other: Liar, status: int, kind: type[PromoteError]  # noqa: F811
) -> None:  # fmt: skip
    wants_tokens(liar, other, lambda _: (status, {}, b"canary"))
    fails(liar, kind, str(status))


@pytest.mark.parametrize(
    "body",
    [
        token("a b")[2], token("a\r\nX-Canary: 1")[2], token("")[2], token("a" * 65_537)[2], b"canary", b"[]", b'{"token":7}',
        b" " * 1024 * 1024 + token("good")[2],
    ],
    ids=["space", "header", "empty", "long", "text", "list", "number", "padded"],
)  # fmt: skip
def test_what_is_no_token_is_never_sent(liar: Liar, other: Liar, body: bytes) -> None:  # noqa: F811
    wants_tokens(liar, other, lambda _: (200, {}, body), lambda _: False)
    fails(liar, AuthError, "gave no token")
    assert all("Authorization" not in headers for _, _, headers in liar.asked)


@pytest.mark.parametrize("kind", ["Basic", "Bearer"])
@pytest.mark.parametrize("source", ["env", "identity"])
def test_nothing_is_sent_unencrypted_beyond_this_machine(
    liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, source: str  # noqa: F811
) -> None:  # fmt: skip
    """Through a proxy, as nothing else of this machine is beyond it."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, liar.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    realm = "http://registry.invalid/token"
    liar.answer = lambda *_: (401, {"WWW-Authenticate": f'{kind} realm="{realm}",service="x"'}, b"")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.invalid": {"identitytoken": "canary"}}}))
    env = LOGIN if source == "env" else {"DOCKER_CONFIG": str(tmp_path)}
    with pytest.raises(AuthError, match="unencrypted, so it gets no credentials"):
        open_registry("http://registry.invalid/acme", env).resolve("ner", "v1")
    assert [headers.get("Authorization") for _, _, headers in liar.asked] == [None]


@pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="{url}/token",service="x"'])
def test_a_challenge_of_another_origin_is_not_answered(liar: Liar, other: Liar, challenge: str) -> None:  # noqa: F811
    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if path == "/token":
            return token("good")
        return (
            (307, {"Location": f"{other.url}/there"}, b"")
            if path.endswith(MODEL.digest)
            else honest(method, path, headers)
        )

    liar.answer = answer
    other.answer = lambda *_: (401, {"WWW-Authenticate": challenge.format(url=liar.url)}, b"")
    registry = open_registry(f"{liar.url}/acme", LOGIN)
    stored = registry.resolve("ner", "v1")
    with pytest.raises(AuthError):
        registry.read(stored, MODEL)
    assert len(other.asked) == 1
    assert not [path for _, path, _ in liar.asked if path.startswith("/token")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_is_written_is_not_sent_elsewhere(liar: Liar, other: Liar, method: str) -> None:  # noqa: F811
    liar.answer = lambda *_: (307, {"Location": f"{other.url}/steal"}, b"")
    other.answer = lambda *_: (201, {}, b"")
    url = f"{liar.url}/v2/acme/ner/blobs/uploads/1"
    with pytest.raises(PromoteError):
        Transport(parse_origin(f"{liar.url}/acme"), {}).send(method, url, frozenset({201}), body=lambda: b"weights")
    assert not other.asked


def test_a_password_that_was_refused_is_not_sent_again(liar: Liar) -> None:  # noqa: F811
    liar.answer = lambda *_: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    registry = open_registry(f"{liar.url}/acme", LOGIN)
    for expected in (2, 3):  # asked, answered; then known to be wrong
        with pytest.raises(AuthError):
            registry.resolve("ner", "v1")
        assert len(liar.asked) == expected


# docker's configuration.


def asks_who(registry: Liar) -> None:
    registry.answer = lambda m, p, h: (
        honest(m, p, h) if "Authorization" in h else (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    )


def configured(folder: Path, script: str = "", **config: object) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(config))
    program = folder / "docker-credential-tests"
    program.write_text(f"#!/bin/sh\ntouch {folder}/ran\n{script}\n")
    program.chmod(0o755)
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


GIVES = """echo '{"Username":"ci","Secret":"canary-password"}'"""


@pytest.mark.parametrize(
    "form", ["{host}", "{host}0", "{host}.evil.test", "127.0.0.1", "http://{host}", "{host}/acme", "x@{host}"]
)
@pytest.mark.parametrize("place", ["auths", "credHelpers"])
def test_a_login_is_for_exactly_its_host_and_port(liar: Liar, tmp_path: Path, form: str, place: str) -> None:  # noqa: F811
    asks_who(liar)
    key, entry = form.format(host=f"127.0.0.1:{liar.port}"), {"auth": base64.b64encode(b"ci:canary-password").decode()}
    env = configured(tmp_path, GIVES, **{place: {key: entry if place == "auths" else "tests"}})
    if form == "{host}":
        assert open_registry(f"{liar.url}/acme", env).resolve("ner", "v1").version == 1
        assert liar.asked[-1][2]["Authorization"] == BASIC
        return
    fails(liar, AuthError, "none are known", env)
    assert not (tmp_path / "ran").exists()
    assert all("Authorization" not in headers for _, _, headers in liar.asked)


def test_a_helper_that_hangs_is_given_up(
    liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    asks_who(liar)
    monkeypatch.setattr(credentials, "_HELPER_SECONDS", 0.3)
    fails(liar, AuthError, "did not answer within", configured(tmp_path, "sleep 2; " + GIVES, credsStore="tests"))


def test_a_helper_is_found_by_the_path_of_the_environment_that_was_given(liar: Liar, tmp_path: Path) -> None:  # noqa: F811
    asks_who(liar)
    env = configured(tmp_path, f'test -n "$PROMOTE_TESTS" && {GIVES}', credsStore="tests")
    fails(liar, AuthError, "gave no credentials", env)
    assert open_registry(f"{liar.url}/acme", env | {"PROMOTE_TESTS": "1"}).resolve("ner", "v1").version == 1


def test_a_helper_that_knows_nobody_leaves_a_stranger(liar: Liar, tmp_path: Path) -> None:  # noqa: F811
    asks_who(liar)
    script = "echo 'credentials not found in native keychain'; exit 1"
    fails(liar, AuthError, "none are known", configured(tmp_path, script, credsStore="tests"))
    fails(liar, AuthError, "gave no credentials", configured(tmp_path, "echo canary; exit 1", credsStore="tests"))


@pytest.mark.parametrize("name", ["../docker-credential-tests", "tests get;", "/bin/sh", "Tests", "x" * 65, "tests\n"])
def test_a_helper_has_a_plain_name(liar: Liar, tmp_path: Path, name: str) -> None:  # noqa: F811
    asks_who(liar)
    for config in ({"credsStore": name}, {"credHelpers": {f"127.0.0.1:{liar.port}": name}}):
        fails(liar, InputError, "names the credential helper", configured(tmp_path, GIVES, **config))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("config", [{"auths": []}, {"auths": {"x": {"auth": "canary!"}}}, {"credsStore": 7}])
def test_a_configuration_of_another_form_is_told_without_its_content(
    liar: Liar, tmp_path: Path, config: dict[str, object]  # noqa: F811
) -> None:  # fmt: skip
    asks_who(liar)
    fails(liar, InputError, "is not a docker configuration", configured(tmp_path, **config))


@pytest.mark.parametrize(("user", "password"), [("ci", ""), ("", "canary"), ("c:i", "canary")])
def test_half_a_login_is_none(liar: Liar, user: str, password: str) -> None:  # noqa: F811
    asks_who(liar)
    env = {"PROMOTE_REGISTRY_USERNAME": user, "PROMOTE_REGISTRY_PASSWORD": password}
    fails(liar, AuthError, "go together", env)


def test_each_right_has_a_token_of_its_own(liar: Liar, other: Liar) -> None:  # noqa: F811
    """No read carries the right to write, no write that of reading elsewhere; and no token is asked for twice."""

    def named(scopes: list[str]) -> str:
        return hashlib.sha256(" ".join(scopes).encode()).hexdigest()

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        scopes = ["repository:acme/ner:" + ("pull" if method == "GET" else "pull,push")]
        scopes += [f"repository:{name}:pull" for name in parse_qs(headers["?"]).get("from", [])]
        if headers.get("Authorization") == f"Bearer {named(scopes)}":
            return honest(method, path, headers)
        return (
            401,
            {"WWW-Authenticate": f'Bearer realm="{other.url}/token",service="x",scope="{" ".join(scopes)}"'},
            b"",
        )

    liar.answer = answer
    other.answer = lambda _, __, headers: token(named(parse_qs(headers["?"])["scope"]))
    transport = Transport(parse_origin(f"{liar.url}/acme"), LOGIN)
    root = f"{liar.url}/v2/acme/ner"
    for source in ("acme/a", "", "acme/b", "acme/a", "", "acme/b"):
        asked = f"?mount={MODEL.digest}&from={source}" if source else ""
        transport.send("POST", f"{root}/blobs/uploads/{asked}", frozenset({202}), source=source)
        transport.send("GET", f"{root}/manifests/v1", frozenset({200})).close()
    assert [" ".join(parse_qs(urlsplit(path).query)["scope"]) for _, path, _ in other.asked] == [
        "repository:acme/ner:pull,push repository:acme/a:pull",
        "repository:acme/ner:pull",
        "repository:acme/ner:pull,push",
        "repository:acme/ner:pull,push repository:acme/b:pull",
    ]


def test_threads_that_are_refused_at_once_share_one_token(liar: Liar, other: Liar) -> None:  # noqa: F811
    together = threading.Barrier(4)

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if "Authorization" in headers:
            return honest(method, path, headers)
        together.wait(10)
        return 401, {"WWW-Authenticate": f'Bearer realm="{other.url}/token",service="x"'}, b""

    liar.answer, other.answer = answer, lambda *_: token("good")
    transport = Transport(parse_origin(f"{liar.url}/acme"), LOGIN)
    url = f"{liar.url}/v2/acme/ner/manifests/v1"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: transport.send("GET", url, frozenset({200})).close(), range(4)))
    assert len(other.asked) == 1


# Addresses.

NO_REGISTRY = [
    "ghcr.io/acme?token=canary", "ghcr.io/acme#canary", "ci:canary@ghcr.io/acme", "https://ci:canary@ghcr.io/acme",
    "ci:canary@h://ghcr.io/acme", "ftp://ghcr.io/acme", "file:///etc", "gopher://ghcr.io/acme", "-ghcr.io/acme", "gh_cr.io/acme",
    "ghcr.io:0/acme", "ghcr.io:123456/acme", "ghcr.io\n/acme", "ghcr.io/acme\n", "ghcr .io/acme", "ghcr.io/a//b", "ghcr.io/ACME",
    "ghcr.io/a..b", "ghcr.io/../etc", "http://169.254.169.254/acme", "https://169.254.169.254/acme", "http://[fe80::1]/acme", "",
]  # fmt: skip


@pytest.mark.parametrize("base", NO_REGISTRY)
def test_what_is_no_address_of_a_registry_is_refused_without_what_may_be_secret(base: str) -> None:
    with pytest.raises(InputError) as told:
        parse_origin(base)
    assert "canary" not in f"{told.value!r} {told.value.hint}"


@pytest.mark.parametrize(
    ("base", "url", "private"),
    [
        ("ghcr.io/acme/models", "https://ghcr.io", True), ("https://ghcr.io", "https://ghcr.io", True),
        ("127.0.0.1:5000/x", "http://127.0.0.1:5000", True), ("localhost:5000", "http://localhost:5000", True),
        ("[::1]:5000/x", "http://[::1]:5000", True), ("localhost.evil.test/x", "https://localhost.evil.test", True),
        ("127.0.0.1.evil.test/x", "https://127.0.0.1.evil.test", True), ("http://ghcr.io/x", "http://ghcr.io", False),
        ("http://localhost.evil.test/x", "http://localhost.evil.test", False),
        ("docker.io/acme", "https://registry-1.docker.io", True),
    ],
)  # fmt: skip
def test_only_this_machine_is_spoken_to_unencrypted_unless_told(base: str, url: str, private: bool) -> None:
    origin = parse_origin(base)
    assert (origin.url, origin.private) == (url, private)


@pytest.mark.parametrize("name", ["a._b", "a...b", "a-.b"])
def test_a_model_name_that_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        parse_origin("ghcr.io/acme").repository(name)
    assert parse_origin("ghcr.io/acme").repository("a__b") == "acme/a__b"


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://ghcr.io/x") == origin_of("https://GHCR.io:443/y?z") == ("https", "ghcr.io", 443)
    others = ("http://ghcr.io/x", "https://ghcr.io:444/x", "https://ghcr.io.evil.test/x", "https://ghcr.i0/x")
    assert all(origin_of(url) != origin_of("https://ghcr.io") for url in others)
    for url in (
        "https://a@ghcr.io/x",
        "https://ghcr.io@evil.test/x",
        "ftp://ghcr.io/x",
        "//ghcr.io/x",
        "https:///x",
        "x",
        "",
    ):
        with pytest.raises(ValueError, match="not an http address"):
            origin_of(url)


def test_what_messages_show_of_addresses_and_types() -> None:
    assert shown("https://ci:canary@ghcr.io:444/v2/x?sig=canary#canary") == "https://ghcr.io:444/v2/x"
    assert media_type("application/vnd.oci.image.index.v1+json") == "'application/vnd.oci.image.index.v1+json'"
    for echo in (BASIC, BASIC.partition(" ")[2], "", "application/x; canary", "application/Canary", "text/x\n"):
        assert media_type(echo) == "of another type"
    assert is_repository("acme/models/ner")
    assert not any(is_repository(name) for name in ("../x", "a?b", "A", "", "a/", "a" * 256, "a\n"))
