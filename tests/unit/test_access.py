"""Endpoints, and what is shown to a server before it answers: forms that are taken, forms that are not, secrets unsaid."""

from dataclasses import replace

import pytest

from promote.core.access import access_of
from promote.core.endpoint import Endpoint, parse_endpoint
from promote.core.facts import Target
from promote.core.target_rows import new_target, with_settings
from promote.errors import AuthError, InputError, PromoteError

SECRET = "canary-9c2e-value"
ENV = {"CF_ID": "id.access", "CF_SECRET": SECRET}
ASKS = Target(
    name="calypso",
    http="https://triton.example.com",
    grpc="grpcs://grpc.example.com",
    headers_env=(("CF-Access-Client-Id", "CF_ID"), ("CF-Access-Client-Secret", "CF_SECRET")),
)


def path(file: str) -> str:
    return f"/settings/{file}"


@pytest.mark.parametrize(
    ("text", "protocol", "expected"),
    [
        ("calypso:8000", "http", Endpoint("calypso", 8000)),
        ("[::1]:8001", "grpc", Endpoint("[::1]", 8001)),
        ("https://h", "http", Endpoint("h", 443, tls=True)),
        ("https://h/", "http", Endpoint("h", 443, tls=True)),
        ("https://h:8443/a/b-1/", "http", Endpoint("h", 8443, tls=True, prefix="/a/b-1")),
        ("grpcs://h:443", "grpc", Endpoint("h", 443, tls=True)),
        ("grpcs://[::1]", "grpc", Endpoint("[::1]", 443, tls=True)),
    ],
)
def test_forms_of_an_endpoint(text: str, protocol: str, expected: Endpoint) -> None:
    assert parse_endpoint(text, protocol) == expected


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "text",
    ["", "h", "h:0", "h:65536", "http://h:80", "grpc://h:80", "file:///etc/passwd", "https://u:pw@h", "https://h/../x", "https://h//x",
     "https://h/?q=1", "https://h/#f", "https://h:8000\n", "https://h h", "https://", "ftp://h:1", "h:8000/x", "https://h/./x"],
)  # fmt: skip
def test_what_is_no_endpoint(text: str, protocol: str) -> None:
    with pytest.raises(InputError, match=f"is no {protocol} endpoint") as raised:
        parse_endpoint(text, protocol)
    assert "pw" not in raised.value.message


@pytest.mark.parametrize(("text", "protocol"), [("https://h", "grpc"), ("grpcs://h", "http"), ("grpcs://h/x", "grpc")])
def test_each_protocol_has_its_own_form(text: str, protocol: str) -> None:
    with pytest.raises(InputError):
        parse_endpoint(text, protocol)


def test_values_come_from_the_environment_and_files_from_beside_the_settings() -> None:
    asks = replace(ASKS, ca_file="ca.pem", client_certificate="c.pem")
    access = access_of(asks, ENV, path)
    assert access.headers == {"CF-Access-Client-Id": "id.access", "CF-Access-Client-Secret": SECRET}
    assert (access.roots, access.certificate, access.key) == ("/settings/ca.pem", "/settings/c.pem", "")
    assert SECRET not in repr(access)
    assert access.hide(f"bad {SECRET}, id.access!") == "bad ***, ***!"


def test_a_variable_that_is_not_set_is_named() -> None:
    for environ in ({"CF_ID": "x"}, ENV | {"CF_SECRET": ""}):
        with pytest.raises(AuthError, match=r"variable CF_SECRET, which target calypso names .* is not set"):
            access_of(ASKS, environ, path)


@pytest.mark.parametrize(
    "value",
    [
        f"{SECRET}\n",
        f"{SECRET}\r\nX-More: 1",
        f"{SECRET}\nX: 1",
        f" {SECRET}",
        f"{SECRET}\0",
        f"{SECRET}é",
        SECRET * 600,
    ],
)
def test_a_value_that_would_be_more_than_a_header_is_refused_unsaid(value: str) -> None:
    with pytest.raises(InputError, match="CF_SECRET") as raised:
        access_of(ASKS, ENV | {"CF_SECRET": value}, path)
    assert SECRET not in raised.value.message + raised.value.hint


@pytest.mark.parametrize("field", ["http", "grpc", "metrics"])
def test_headers_do_not_go_over_an_open_line_unless_it_is_said(field: str) -> None:
    asks = replace(ASKS, **{field: "calypso:8000"})
    with pytest.raises(InputError, match="unencrypted to calypso:8000"):
        access_of(asks, ENV, path)
    assert access_of(replace(asks, headers_in_clear=True), ENV, path).headers
    assert access_of(replace(ASKS, **{field: "127.0.0.1:8000"}), ENV, path).headers
    assert access_of(replace(asks, headers_env=()), {}, path).headers == {}


def test_a_key_without_its_certificate_makes_no_sense() -> None:
    with pytest.raises(InputError, match="client_key and no client_certificate"):
        access_of(replace(ASKS, client_key="k.pem"), ENV, path)


def test_settings_of_a_target_name_headers() -> None:
    target = new_target("t", {"device": "cpu", "http": "https://h/x", "headers_env": {"X-B": "B", "X-A": "A"}}, "here")
    assert target.headers_env == (("X-A", "A"), ("X-B", "B"))
    assert with_settings(target, {"grpc": "grpcs://h"}, "here").headers_env == target.headers_env
    assert with_settings(target, {"headers_env": {}}, "here").headers_env == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": SECRET}, {"X-A": "a b"}, {"X-A": ""}, {"X A": "A"}, {"X-A\nY": "A"}, {"": "A"}, {"Host": "A"}, {":path": "A"},
        {"Content-Length": "A"}, {"grpc-timeout": "A"}, {"x-bin": "A"}, {"X-A": "A", "x-a": "B"}, SECRET, [SECRET],
    ],
)  # fmt: skip
def test_settings_that_are_no_headers_are_refused_and_no_secret_is_repeated(headers: object) -> None:
    with pytest.raises(PromoteError, match="headers_env") as raised:
        new_target("t", {"device": "cpu", "headers_env": headers}, "promote.toml: targets.t")
    assert raised.value.exit_code == 2
    assert SECRET not in raised.value.message + raised.value.hint


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InputError, match=r"http: expected host:port, or https://") as raised:
        new_target("t", {"device": "cpu", "http": f"https://u:{SECRET}@h"}, "here")
    assert SECRET not in raised.value.message
