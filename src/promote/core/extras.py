"""Which extra of promote brings a library that is not installed.

The base install judges files and moves bundles (docs/adr/0003); everything heavier is an extra and imported when it is
needed, so its absence shows late. Not here: what an extra holds (``pyproject.toml``).
"""

from promote.errors import InputError

EXTRAS: dict[str, str] = {
    "mlflow": "mlflow",
    "tritonclient": "triton",
    "grpc": "triton",
    "geventhttpclient": "triton",
    "boto3": "s3",
    "botocore": "s3",
    "huggingface_hub": "hf",
    "onnxruntime": "cpu",
    "torch": "export",
    "onnxscript": "export",
    "onnx_ir": "export",
    "transformers": "export",
    "tokenizers": "export",
}
"""Module -> extra."""

BASE = frozenset(
    {"google", "numpy", "oras", "onnx", "pydantic", "pydantic_settings", "requests", "rich", "safetensors"}
)
"""Modules of the base install: missing only where somebody took them away."""


def not_installed(error: BaseException) -> InputError | None:
    """What to install, where ``error`` or one of its causes says that a library of promote's is missing.

    ``tritonclient`` tells of its own missing parts by a RuntimeError raised from the import's error.

    Returns:
        The error to raise instead, or ``None`` where ``error`` is about something else.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ModuleNotFoundError):
        seen = seen.__cause__
    module = (seen.name or "").partition(".")[0] if seen is not None else ""
    if module in EXTRAS:
        return InputError(f"{module} is not installed", hint=f'pip install "promote[{EXTRAS[module]}]"')
    if module in BASE:
        return InputError(
            f"{module} is not installed, which promote requires", hint="pip install --force-reinstall promote"
        )
    return None
