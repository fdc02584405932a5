"""Opens the source model in the child process: what to call, with which inputs, along which dynamic axes.

``transformers`` folders are opened from safetensors only and never with remote code; ``pytorch`` means an exported
program (``.pt2``), or a pickled module when the job says it may be.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promote.adapters.export.refusal import Refusal
from promote.adapters.export.samples import TYPICAL_BATCH, TYPICAL_LENGTH, Axis, InputSpec

if TYPE_CHECKING:
    import numpy as np

_LONGEST_SEQUENCE = 512
# Names a transformer takes that are neither data nor needed to serve it.
_TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model to export.

    Args:
        module: what torch exports and what is called for the reference outputs.
        specs: its inputs.
        axes: extents of each dynamic axis, by name.
        outputs: names for the outputs, in order; empty leaves torch's own.
        by_name: inputs are keyword arguments.
        program: the exported program, which already knows its dynamic axes; ``None`` for a module.
        example: the run's own input example as case ``example``, or empty.
        extras: files for the version directory: tokenizer, labels.
        labels: label names in id order.
        tools: versions of what took part.
    """

    module: Any
    specs: tuple[InputSpec, ...]
    axes: Mapping[str, Axis]
    outputs: tuple[str, ...] = ()
    by_name: bool = True
    program: Any = None
    example: "dict[str, dict[str, np.ndarray]]" = field(default_factory=dict)
    extras: Mapping[str, bytes] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)


def open_source(job: Mapping[str, Any]) -> Source:
    """The model of ``job["flavour"]`` at ``job["path"]``."""
    if job["flavour"] == "transformers":
        return _transformers(job)
    return _pytorch(job)


def _transformers(job: Mapping[str, Any]) -> Source:
    import transformers

    transformers.logging.set_verbosity_error()
    path = job["path"]
    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    config.use_cache = False  # a cache is an output that no client of a served model can use
    names = list(config.architectures or [])
    cls = getattr(transformers, names[0], None) if names else None
    if cls is None:
        raise Refusal("export", f"the model's class {names} is not in transformers {transformers.__version__}")
    try:
        module = cls.from_pretrained(
            path, local_files_only=True, use_safetensors=True, dtype="auto", config=config
        ).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise Refusal("export", f"cannot load {names[0]}: {str(error).splitlines()[0]}") from error
    tokenizer_path = job.get("tokenizer") or path
    tokenizer = _tokenizer(tokenizer_path)
    accepted = inspect.signature(module.forward).parameters
    inputs = [n for n in (tokenizer.model_input_names if tokenizer else _TEXT_INPUTS[:2]) if n in accepted]
    if "input_ids" not in inputs:
        raise Refusal(
            "export",
            f"{names[0]} takes no input_ids: only text models are exported from transformers",
            "log the model as ONNX or as an exported program instead",
        )
    longest = min(getattr(config, "max_position_embeddings", _LONGEST_SEQUENCE) or _LONGEST_SEQUENCE, _LONGEST_SEQUENCE)
    labels = _labels(config) if names[0].endswith("Classification") else ()
    biggest = job["max_batch_size"]
    return Source(
        module=module,
        specs=tuple(
            InputSpec(n, "int64", ("batch", "sequence"), config.vocab_size if n == "input_ids" else 2) for n in inputs
        ),
        axes={
            "batch": Axis(1, min(TYPICAL_BATCH, biggest), biggest),
            "sequence": Axis(1, min(TYPICAL_LENGTH, longest), longest),
        },
        example=_tokenized(job, tokenizer, inputs),
        extras=_text_files(Path(tokenizer_path))
        | ({"labels.txt": "".join(f"{n}\n" for n in labels).encode()} if labels else {}),
        labels=labels,
        tools={"transformers": transformers.__version__},
    )


def _labels(config: Any) -> tuple[str, ...]:
    """Label names in id order; transformers' own ``LABEL_0`` placeholders are no names."""
    names = tuple(str(config.id2label[i]) for i in range(len(config.id2label)))
    return () if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


def _tokenizer(path: str) -> Any:
    import transformers

    if not any((Path(path) / name).exists() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt")):
        return None
    return transformers.AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def _tokenized(job: Mapping[str, Any], tokenizer: Any, inputs: list[str]) -> "dict[str, dict[str, np.ndarray]]":
    texts = [text for text in _texts(job.get("example")) if text.strip()][: job["max_batch_size"]]
    if not texts or tokenizer is None:
        return {}
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=_LONGEST_SEQUENCE, return_tensors="np")
    return {"example": {name: encoded[name].astype("int64") for name in inputs}}


def _texts(path: str | None) -> list[str]:
    """Every string of a JSON input example, whatever form MLflow gave it."""
    if not path:
        return []
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            for item in [value["data"]] if "data" in value else value.values():
                walk(item)

    walk(json.loads(Path(path).read_text()))
    return found


def _text_files(folder: Path) -> dict[str, bytes]:
    """The tokenizer's files, for the client that will call the model."""
    names = (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "merges.txt",
        "vocab.json",
    )
    return {f"tokenizer/{n}": (folder / n).read_bytes() for n in names if (folder / n).is_file()}


def _pytorch(job: Mapping[str, Any]) -> Source:
    import torch

    path = job["path"]
    if job["pickled"]:
        module = torch.load(path, weights_only=False, map_location="cpu")
        if not isinstance(module, torch.nn.Module):
            raise Refusal("export", f"the pickle holds a {type(module).__name__}, expected a torch.nn.Module")
        return _from_example(module.eval(), job)
    try:
        program = torch.export.load(path)
    except Exception as error:  # zip, pickle and schema errors of many classes
        raise Refusal("export", f"torch.export.load refuses {Path(path).name}: {str(error).splitlines()[0]}") from error
    return _from_program(program, job)


def _from_program(program: Any, job: Mapping[str, Any]) -> Source:
    """Inputs and their dynamic axes as the exported program itself states them."""
    specs, axes = [], {}
    placeholders = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    ranges = {str(symbol): limits for symbol, limits in program.range_constraints.items()}
    for name in program.graph_signature.user_inputs:
        value = placeholders[name]
        shape = tuple(d if isinstance(d, int) else str(d) for d in value.shape)
        for position, dim in enumerate(shape):
            if isinstance(dim, str):
                axes[dim] = _axis(ranges.get(dim), position == 0, job["max_batch_size"])
        specs.append(InputSpec(name, str(value.dtype).removeprefix("torch."), shape))
    return Source(module=program.module(), specs=tuple(specs), axes=axes, by_name=False, program=program)


def _axis(limits: Any, batch: bool, biggest: int) -> Axis:
    low = max(1, int(limits.lower)) if limits is not None else 1
    high = biggest if batch else 4 * TYPICAL_LENGTH
    # An axis without end has torch's int_oo there, which says of itself that it is finite.
    if limits is not None and str(limits.upper).isdigit():
        high = min(high, int(limits.upper))
    high = max(low, high)
    return Axis(low, max(low, min(TYPICAL_BATCH if batch else TYPICAL_LENGTH, high)), high)


def _from_example(module: Any, job: Mapping[str, Any]) -> Source:
    """A pickled module says nothing of its inputs: the run's input example does, its first axis being the batch."""
    import numpy as np

    if not job.get("example"):
        raise Refusal(
            "export",
            "a pickled module states no inputs, and the run logged no input example",
            "log the model with input_example=..., or as an exported program",
        )
    array = np.asarray(json.loads(Path(job["example"]).read_text()), dtype="float32")
    if array.ndim < 2 or array.size == 0:
        raise Refusal("export", f"the input example has shape {array.shape}: expected a batch of numbers")
    biggest = job["max_batch_size"]
    spec = InputSpec("input", "float32", ("batch", *array.shape[1:]))
    return Source(
        module=module,
        specs=(spec,),
        axes={"batch": Axis(1, min(TYPICAL_BATCH, biggest), biggest)},
        outputs=("output",),
        by_name=False,
        example={"example": {"input": array[:biggest]}},
    )
