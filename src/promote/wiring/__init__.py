"""Chooses the parts: settings become a ``World``. The only room that knows all adapters; this is its door.

Each command opens only what it needs: ``check`` reads the matrix and a file and never imports MLflow or torch. Parts that
a command does not need are left unopened; asking one of them for work opens it then.
"""

from promote.wiring.data import read_matrix, shipped
from promote.wiring.hosts import today
from promote.wiring.story import Wiring, open_wiring
from promote.wiring.subjects import Subject

__all__ = ["Subject", "Wiring", "open_wiring", "read_matrix", "shipped", "today"]
