"""Triton's protobuf messages without the client they come with: that one imports numpy and more, and takes longer than a load.

They are loaded under their own names, so a later ``import tritonclient.grpc`` finds them there, and there is one class for
each message. Source of the fields: triton common ``protobuf/model_config.proto`` and ``grpc_service.proto``.
"""

import importlib
import sys
from functools import cache
from importlib.util import find_spec
from threading import RLock
from types import ModuleType
from typing import Any

LOADING = RLock()
"""Held while the client's package is imported, by whoever imports it: for a moment a bare one stands in its place."""
_PARENT, _PACKAGE = "tritonclient", "tritonclient.grpc"


@cache
def configs() -> Any:
    """``ModelConfig`` and what it is made of."""
    return _alone("model_config_pb2")


@cache
def services() -> Any:
    """Requests and answers of the gRPC service."""
    return _alone("service_pb2")


def _alone(module: str) -> Any:
    """A module of the package, without the package where nobody has imported that yet."""
    with LOADING:
        parent = None if _PACKAGE in sys.modules else find_spec(_PARENT)
        if parent is None or parent.submodule_search_locations is None:
            return importlib.import_module(f"{_PACKAGE}.{module}")
        bare = sys.modules[_PACKAGE] = ModuleType(_PACKAGE)
        bare.__path__ = [f"{folder}/grpc" for folder in parent.submodule_search_locations]
        try:
            return importlib.import_module(f"{_PACKAGE}.{module}")
        finally:
            del sys.modules[_PACKAGE]
