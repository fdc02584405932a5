"""The two modules of the onnx package that reading a file takes: its messages, and the signatures of its operators.

The package around them imports numpy, which computes nothing here and takes longer than all the rest of ``promote check``; so
each is loaded alone, under its own name: a later ``import onnx`` finds it there, and there is one class for each message.
"""

import importlib
import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from typing import Any

_PACKAGE = "onnx"
_LOADING = Lock()


@cache
def messages() -> Any:
    """``ModelProto`` and the other classes of protobuf."""
    return _alone("onnx_ml_pb2")


@cache
def operators() -> Any:
    """What ``onnx.defs`` speaks for: ``get_schema`` and ``SchemaError``."""
    return _alone("onnx_cpp2py_export").defs


def _alone(module: str) -> Any:
    """A module of the package, without the package where nobody has imported that yet."""
    name = f"{_PACKAGE}.{module}"
    with _LOADING:
        package = None if {_PACKAGE, name} & sys.modules.keys() else find_spec(_PACKAGE)
        spec = PathFinder.find_spec(name, package.submodule_search_locations) if package else None
        if spec is None or spec.loader is None:
            return importlib.import_module(name)
        made = sys.modules[name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(made)
        except BaseException:
            del sys.modules[name]
            raise
        return made
