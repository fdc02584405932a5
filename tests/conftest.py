"""The real parts, as fixtures; each skips by name with the reason where its binary is missing."""

pytest_plugins = ["tests.parts.registry", "tests.parts.mlflow_server", "tests.parts.triton"]
