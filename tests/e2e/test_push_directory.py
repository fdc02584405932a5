"""A directory pushed as a bundle, and what it takes until the real Triton serves it."""

from __future__ import annotations

import shutil

import pytest

from tests.contract.test_push_directory import written
from tests.e2e.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.triton, pytest.mark.mlflow, pytest.mark.slow]


def test_it_serves_where_a_policy_allows_it_and_not_before(tmp_path, sqlite_uri, triton):
    project, name = Project(tmp_path, sqlite_uri), "by-hand"
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    project.write(local=where, careful=where + 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n')
    written(tmp_path / "hand", name, 1)
    pushed = project("push", "hand", "oci:bundles/", "--target", "local").last
    deploy = ["deploy", f"{name}:v1", "--target"]
    refused = project(*deploy, "local", code=12)
    assert "pushed from a directory: no parity was proven" in refused.err
    assert not (triton.repository / name).exists()
    assert "directories" in project("policy", "check", f"{name}:v1", "--target", "local", code=12).out
    policy = "schema: promote.policy/1\ntargets:\n  local: {directories: true}\n  careful: {directories: true}\n"
    (tmp_path / "promotion_policy.yaml").write_text(policy)
    assert project(*deploy, "local").last == pushed
    assert project("smoke", name, "--target", "local").code == 0
    # A target with a review asks MLflow, which knows nothing of it: nobody can approve it there.
    unknown = project(*deploy, "careful", code=3)
    assert name in unknown.err


def test_one_without_samples_is_not_deployed_even_where_directories_are_allowed(tmp_path, sqlite_uri, triton):
    project, name = Project(tmp_path, sqlite_uri), "by-hand-mute"
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    project.write(local=where)
    (tmp_path / "promotion_policy.yaml").write_text("schema: promote.policy/1\ntargets: {local: {directories: true}}\n")
    shutil.rmtree(written(tmp_path / "hand", name, 1) / "1/promote")
    assert "promote deploy refuses it" in project("push", "hand", "oci:bundles/", "--target", "local").err
    refused = project("deploy", f"{name}:v1", "--target", "local", code=12)
    assert "nothing could be asked of a server" in refused.err
