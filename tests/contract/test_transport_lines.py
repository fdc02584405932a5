"""How the transport uses its connections: kept open, one set a thread, and nothing of the environment that is not meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from urllib3.connectionpool import HTTPConnectionPool

from promote.adapters.oci.moves import AT_ONCE
from promote.adapters.oci.registry import open_registry
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import RealRegistry


def test_connections_are_kept_from_blob_to_blob(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    connect = HTTPConnectionPool._new_conn

    def counting(self: HTTPConnectionPool) -> object:
        opened.append(self.host)
        return connect(self)

    monkeypatch.setattr(HTTPConnectionPool, "_new_conn", counting)
    remote = open_registry(f"http://{registry.host}/lines", env={})
    stored = remote.push(make_bundle({f"part{n}": os.urandom(100) for n in range(60)}), Steps()).stored
    remote.fetch(stored, str(tmp_path), Steps())
    assert 0 < len(opened) <= 2 * AT_ONCE + 2  # a line a thread for each of the two, and the caller's own
