"""An OCI distribution registry of ours: conformant unless told to imitate a limit or to inject a fault."""

from tests.fakes.quirk_registry.limits import DISTRIBUTION, ECR, GAR, GHCR, PROFILES, Fault, Limits
from tests.fakes.quirk_registry.server import QuirkRegistry

__all__ = ["DISTRIBUTION", "ECR", "GAR", "GHCR", "PROFILES", "Fault", "Limits", "QuirkRegistry"]
