"""A Hub for one test, see ``tests.fakes.hub``."""

from collections.abc import Iterator

import pytest

from tests.fakes.hub import Hub, run_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """On loopback; other tests of this process may have told huggingface_hub to stay offline."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with run_hub() as running:
        yield running
