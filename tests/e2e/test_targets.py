"""Commands against targets that are not a folder here: behind TLS with a header, in a bucket, on another host.

What is printed, the exit codes, and no secret anywhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_triton.launch import start
from tests.contract.test_remote_triton import Elsewhere
from tests.e2e.project import Project
from tests.fakes.factory import log_run
from tests.parts.s3_server import S3, VARIABLES
from tests.parts.ssh_server import SSHD
from tests.parts.tls import HEADER, SECRET, Authority, Door, door
from tests.parts.triton import Served, new_name

pytestmark = [pytest.mark.e2e, pytest.mark.triton, pytest.mark.slow]


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


@pytest.fixture(params=["s3", *(["ssh"] if SSHD else [])])
def elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, triton_carrier: Path, sqlite_uri: str
) -> Iterator[tuple[Project, str, dict[str, str]]]:
    """A project, its target that reads its models from elsewhere, and the environment that commands need."""
    folder, environment = tmp_path / "far" / "models", {}
    folder.mkdir(parents=True)
    place, where = f"ssh://calypso{folder}", folder
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        bucket, environment = s3.bucket(), s3.environment
        s3.client.put_object(Bucket=bucket, Key="repo/models/", Body=b"")
        place, where = f"s3://{bucket}/repo/models", Elsewhere(f"s3://{s3.url}/{bucket}/repo/models")  # type: ignore[assignment]
    else:
        request.getfixturevalue("calypso")
    with start(where, carrier=triton_carrier, work=tmp_path / "work") as triton:
        made = Project(tmp_path, sqlite_uri)
        here = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nreview = false\n'
        target = f"far-{request.param}"  # of its own: all tests share one MLflow, where a target has an alias
        made.write(**{target: f'{here}http = "{triton.http}"\ngrpc = "{triton.grpc}"\nmodel_repository = "{place}"\n'})
        yield made, target, environment


@pytest.mark.mlflow
def test_a_model_is_deployed_rolled_back_and_looked_at_elsewhere(
    elsewhere: tuple[Project, str, dict[str, str]],
) -> None:
    project, target, env = elsewhere
    name, references = new_name("far"), []
    for version in (1, 2):
        run = log_run(project.uri, {"ner": "onnx"})
        references.append(project("model", run, "--target", target, "--name", name, env=env).last)
        live = project("deploy", f"{name}:v{version}", "--target", target, "--json", env=env).json
        assert (live["version"], live["former"]) == (version, version - 1 or None)
        assert len(live["replays"]) >= 4
    assert project("rollback", name, "--target", target, env=env).last == references[0]
    shown = project("status", "--target", target, "--json", env=env).json
    row = next(model for model in shown["models"] if model["name"] == name)
    assert (row["ready"], row["deployed"]["version"]) == (True, 1)
    assert row["deployed"]["digest"] == references[0].partition("@")[2]
    again = project("deploy", f"{name}:v2", "--target", target, env=env)
    assert again.last == references[1]
    for path in project.folder.rglob("*"):
        assert not path.is_file() or VARIABLES["AWS_SECRET_ACCESS_KEY"].encode() not in path.read_bytes()


def test_a_place_that_cannot_be_reached_is_told_in_a_line(tmp_path: Path, s3: S3) -> None:
    project = Project(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    project.write(local='http = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\nmodel_repository = "s3://no-such-bucket/models"\n')
    told = project("rollback", "ner", "--target", "local", env=s3.environment, code=2)
    assert "there is no bucket no-such-bucket" in told.err
    project.write(local='http = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\nmodel_repository = "ssh://127.0.0.1:9/x/models"\n')
    assert "ssh to 127.0.0.1" in project("rollback", "ner", "--target", "local", code=5).err
    project.write(local='http = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\nmodel_repository = "gs://bucket/models"\n')
    assert (
        "expected a folder, s3://bucket/prefix, or ssh://"
        in project("rollback", "ner", "--target", "local", code=2).err
    )
