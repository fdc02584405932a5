"""``nvidia-smi`` over a real SSH: Debian's ``sshd`` on loopback; only what stands for the driver's own program is a script.

Not collected where there is no ``sshd`` (``tests/conftest.py``); ``test_probe.py`` then holds the same with a script for ``ssh``.
"""

import shutil

import pytest

from promote.adapters.probe import nvidia_smi
from promote.core.probe import Card
from promote.errors import Unavailable
from tests.parts.ssh_server import SSHD, ssh_server

pytestmark = pytest.mark.skipif(
    not SSHD, reason="no sshd here: Debian's openssh-server has it, or PROMOTE_SSHD names it"
)

UUID = "GPU-4b3a2f10-9c1d-4e5f-8a7b-0c1d2e3f4a5b"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A real server, and an ``ssh`` that takes its configuration instead of the account's."""
    (tmp_path / "server").mkdir()
    with ssh_server(tmp_path / "server") as made:
        _script(tmp_path / "bin", "ssh", f'exec {shutil.which("ssh")} -F {made.config} "$@"')
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        yield made


def _script(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_the_cards_of_another_host_are_read(server):
    _script(server.programs, "nvidia-smi", f"echo 'NVIDIA GB10, 580.95.05, [N/A], 12.1, [N/A], {UUID}'")
    assert nvidia_smi.cards_of("calypso") == (Card("NVIDIA GB10", "580.95.05", None, "12.1", UUID, cut=False),)


def test_an_old_driver_there_is_asked_again_for_less(server):
    old = 'case "$1" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\'; exit 2;; esac'
    _script(server.programs, "nvidia-smi", f"{old}\necho 'Tesla T4, 460.32.03, 15109, {UUID}'")
    (card,) = nvidia_smi.cards_of("calypso")
    assert (card.name, card.capability, card.memory_bytes) == ("Tesla T4", "", 15109 * 2**20)


def test_a_key_that_the_host_does_not_know_is_told_and_no_password_is_asked(server):
    with pytest.raises(Unavailable, match=r"ssh ends with 255 on stranger: .*Permission denied"):
        nvidia_smi.cards_of("stranger")


def test_a_host_without_a_driver_is_told(server):
    with pytest.raises(Unavailable, match=r"nvidia-smi ends with 127 on calypso: .*not found"):
        nvidia_smi.cards_of("calypso")
