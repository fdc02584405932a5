"""An OCI distribution registry of ours: conformant unless told to imitate a limit or to inject a fault."""

from tests.fakes.quirk_registry.server import Fault, Limits, QuirkRegistry

__all__ = ["Fault", "Limits", "QuirkRegistry"]
