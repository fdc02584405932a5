"""The real parts, as fixtures; each skips by name with the reason where its binary is missing."""

import os

import pytest

from tests.parts.ssh_server import SSHD

# A job of GitHub Actions is told more on stderr; what is tested is what everybody sees, unless a test says otherwise.
os.environ.pop("GITHUB_ACTIONS", None)
# Not asked of every machine, so no skip: installing Debian's openssh-server starts one that the network reaches.
collect_ignore = [] if SSHD else ["contract/test_probe_ssh.py", "contract/test_ssh_repository.py"]
pytest_plugins = [
    "tests.parts.registry",
    "tests.parts.mlflow_server",
    "tests.parts.postgres",
    "tests.parts.triton",
    "tests.parts.s3_server",
    "tests.parts.ssh_host",
    "tests.parts.hub",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update-golden``: writes what was printed instead of comparing it."""
    parser.addoption("--update-golden", action="store_true", help="renew tests/golden from what is printed now")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where every real part must be there (CI), a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("PROMOTE_REQUIRE_PARTS") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
