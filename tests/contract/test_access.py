"""A real Triton behind TLS that asks for a header, as a tunnel gives it; and Triton's own TLS and restricted protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from promote.adapters.model_repository import ModelRepository
from promote.adapters.triton_load import TritonLoad
from promote.adapters.triton_server import TritonServer
from promote.core.access import OPEN, Access
from promote.core.load import Cell
from promote.errors import AuthError, InputError, PromoteError, Unavailable
from tests.contract.bench import Bench, X, free_endpoint
from tests.parts.tls import HEADER, SECRET, Authority, Door, door
from tests.parts.triton import Served, new_name

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tunnel(triton: Served, authority: Authority) -> Iterator[Door]:
    with door(triton.triton.http, triton.triton.grpc, authority.sign("server"), prefix="/triton") as made:
        yield made


@pytest.fixture
def access(authority: Authority) -> Access:
    return Access({HEADER: SECRET}, roots=str(authority.root))


PROTOCOLS = ("http", "grpc")


def ask(at: Door, access: Access, protocol: str) -> None:
    """One question over that protocol alone: the other way leads nowhere."""
    server = TritonServer(at.http, at.grpc, access=access, timeout=5)
    if protocol == "grpc":
        server.ready("m", 1)
    else:
        server.infer("m-none", 1, {}, "http")


def refusal(at: Door, access: Access, protocol: str) -> PromoteError:
    with pytest.raises(PromoteError) as raised:
        ask(at, access, protocol)
    assert "\n" not in raised.value.message
    assert SECRET not in f"{raised.value.message} {raised.value.hint}"
    return raised.value


def test_a_model_is_loaded_and_asked_through_the_tunnel(
    tunnel: Door, triton: Served, access: Access, tmp_path: Path
) -> None:
    server = TritonServer(tunnel.http, tunnel.grpc, access=access)
    closed = free_endpoint()
    bench = Bench(server, ModelRepository(triton.repository, by="tests"), TritonServer(closed, closed), tmp_path)
    name = new_name()
    before = len(tunnel.shown)
    assert server.require()
    bench.place(name, 1, 3.0)
    bench.up(name, 1)
    for protocol in PROTOCOLS:
        bench.times(name, 1, 3.0, protocol)
        made = TritonLoad(tunnel.http, tunnel.grpc, access=access).measure(name, 1, {"x": X}, Cell(protocol, 2, 2), 0.2)
        assert (made.failed, made.answers > 0) == (0, True)
    assert server.statistics(name)[1]["requests"] >= 2
    server.unload(name)
    sent = tunnel.shown[before:]
    assert len(sent) > 8
    assert all(SECRET in (shown.get(HEADER), shown.get(HEADER.lower())) for shown in sent)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("headers", [{}, {HEADER: SECRET + "x"}], ids=["none", "wrong"])
def test_without_the_header_nobody_is_let_in(
    tunnel: Door, access: Access, protocol: str, headers: dict[str, str]
) -> None:
    error = refusal(tunnel, replace(access, headers=headers), protocol)
    assert isinstance(error, AuthError)
    assert error.exit_code == 4
    assert "does not let us in" in error.message
    assert "headers_env" in error.hint
    assert SECRET + "x" not in error.message  # which the door repeats


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_authority_is_not_trusted(tunnel: Door, access: Access, protocol: str, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    for one in (replace(access, roots=str(other.root)), replace(access, roots="")):
        before = len(tunnel.shown)
        error = refusal(tunnel, one, protocol)
        assert isinstance(error, Unavailable)
        assert "authority that is not trusted" in error.message
        assert "ca_file" in error.hint
        assert len(tunnel.shown) == before  # and no header was sent


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("options", "told"),
    [({"days": -1}, "has expired"), ({"hosts": ("elsewhere",)}, "is for another name")],
    ids=["expired", "name"],
)
def test_a_certificate_that_proves_nothing_is_told(
    triton: Served, authority: Authority, access: Access, protocol: str, options: dict[str, object], told: str
) -> None:
    with door(triton.triton.http, triton.triton.grpc, authority.sign("bad", **options)) as made:
        error = refusal(made, access, protocol)
        assert (error.exit_code, made.shown) == (5, [])
        assert told in error.message


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_certificate_is_shown_where_it_is_asked_for(
    triton: Served, authority: Authority, access: Access, protocol: str
) -> None:
    ours, pair = authority.sign("client"), authority.sign("both")
    with door(triton.triton.http, triton.triton.grpc, pair, clients=authority.root) as made:
        shown = replace(access, certificate=str(ours.certificate), key=str(ours.key))
        server = TritonServer(made.http, made.grpc, access=shown)
        assert server.require()
        error = refusal(made, access, protocol)
        # In TLS 1.3 the server asks after the client has begun to send: its word or a cut line, whichever comes first.
        told = {4: "it asks for another client certificate", 5: "no Triton answers"}
        assert told[error.exit_code] in error.message


def test_tls_is_not_spoken_where_it_is_not_expected(triton: Served, access: Access) -> None:
    wrong = Door(f"https://{triton.triton.http}", f"grpcs://{triton.triton.grpc}")
    for protocol in PROTOCOLS:
        assert isinstance(refusal(wrong, access, protocol), Unavailable)


def test_a_path_that_leads_nowhere_is_told(tunnel: Door, access: Access) -> None:
    error = refusal(replace(tunnel, http=tunnel.http.replace("/triton", "/other")), access, "http")
    assert error.exit_code == 5
    assert "is its path right?" in error.message


def test_tritons_own_tls_and_restricted_protocols(
    fresh_triton: Callable[..., Served], authority: Authority, access: Access
) -> None:
    pair = authority.sign("own")
    served = fresh_triton(
        options=[
            "--grpc-use-ssl=true", f"--grpc-server-cert={pair.certificate}", f"--grpc-server-key={pair.key}",
            f"--grpc-restricted-protocol=model-repository,metadata:admin-key={SECRET}",
            f"--http-restricted-api=model-repository:admin-key={SECRET}",
        ]
    )  # fmt: skip
    grpc = f"grpcs://{served.triton.grpc}"
    with pytest.raises(AuthError, match=r"does not let us in: .*expecting header"):
        TritonServer(served.triton.http, grpc, access=replace(access, headers={})).require()
    shown = replace(access, headers={"triton-grpc-protocol-admin-key": SECRET, "admin-key": SECRET})
    server = TritonServer(served.triton.http, grpc, access=shown)
    assert server.require()
    with pytest.raises(PromoteError, match="is_none"):
        server.load("is_none")


@pytest.mark.parametrize("field", ["roots", "certificate", "key"])
def test_a_file_that_is_none_is_bad_input(tunnel: Door, authority: Authority, tmp_path: Path, field: str) -> None:
    ours = authority.sign("ours")
    whole = Access({}, str(authority.root), str(ours.certificate), str(ours.key))
    (tmp_path / "text.pem").write_text("no certificate\n")
    for path in (tmp_path / "text.pem", tmp_path / "absent.pem"):
        for protocol in PROTOCOLS:
            error = refusal(tunnel, replace(whole, **{field: str(path)}), protocol)
            assert isinstance(error, InputError)
            assert path.name in error.message


def test_nothing_is_shown_of_an_access() -> None:
    assert SECRET not in repr(Access({HEADER: SECRET}))
    assert OPEN.hide("nothing") == "nothing"
