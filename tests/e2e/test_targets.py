"""Commands against a target behind TLS that asks for a header: what is printed, the exit codes, and no secret anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.project import Project
from tests.parts.tls import HEADER, SECRET, Authority, Door, door
from tests.parts.triton import Served

pytestmark = [pytest.mark.e2e, pytest.mark.triton]


@pytest.fixture
def tunnel(triton: Served, tmp_path: Path) -> Iterator[tuple[Project, Door]]:
    authority = Authority(tmp_path / "tls")
    (tmp_path / "models").mkdir()
    shutil.copy(authority.root, tmp_path / "ca.pem")
    with door(triton.triton.http, triton.triton.grpc, authority.sign("server")) as made:
        yield Project(tmp_path, f"sqlite:///{tmp_path}/mlflow.db"), made


def lines(made: Door, ca: str = "ca.pem") -> str:
    return (
        f'device = "cpu"\nhttp = "{made.http}"\ngrpc = "{made.grpc}"\nmodel_repository = "models"\n'
        f'headers_env = {{ "{HEADER}" = "CF_SECRET" }}\nca_file = "{ca}"\n'
    )


def unsaid(project: Project) -> None:
    for path in project.folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_status_and_probe_go_through_the_door(tunnel: tuple[Project, Door]) -> None:
    project, made = tunnel
    project.write(far=lines(made))
    told = project("status", "--target", "far", env={"CF_SECRET": SECRET})
    assert f"Triton 2.51.0 at {made.http}" in told.err
    probed = project("target", "probe", "far", env={"CF_SECRET": SECRET})
    assert "server 2.51.0 at https://localhost" in probed.out + probed.err
    assert SECRET not in told.out + told.err + probed.out + probed.err
    assert SECRET in (made.shown[-1].get(HEADER), made.shown[-1].get(HEADER.lower()))
    unsaid(project)


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({}, 4, "CF_SECRET, which target far names for header CF-Access-Client-Secret, is not set"),
        ({"CF_SECRET": SECRET + "x"}, 4, "does not let us in: state 403"),
        ({"CF_SECRET": SECRET + "\nX-More: 1"}, 2, "holds what no header may"),
    ],
)
def test_a_header_that_is_not_right_is_told_in_a_line(
    tunnel: tuple[Project, Door], env: dict[str, str], code: int, said: str
) -> None:
    project, made = tunnel
    project.write(far=lines(made))
    told = project("status", "--target", "far", env=env, code=code)
    assert said in told.err
    assert len(told.err.strip().splitlines()) == 3  # the line, an empty one, the hint
    assert SECRET not in told.err
    unsaid(project)


def test_a_server_that_is_not_trusted_is_told_in_a_line(tunnel: tuple[Project, Door]) -> None:
    project, made = tunnel
    Authority(project.folder / "other", "other")
    project.write(far=lines(made, "other/other.pem"))
    told = project("status", "--target", "far", env={"CF_SECRET": SECRET}, code=5)
    assert "is not trusted: its certificate is of an authority that is not trusted" in told.err
    assert len(told.err.strip().splitlines()) == 3
    assert made.shown == []


def test_a_secret_in_the_settings_is_refused_unsaid(tunnel: tuple[Project, Door]) -> None:
    project, made = tunnel
    project.write(far=lines(made).replace('"CF_SECRET"', f'"{SECRET}"'))
    told = project("status", "--target", "far", code=2)
    assert "expected the name of an environment variable, not a value" in told.err
    assert SECRET not in told.err
