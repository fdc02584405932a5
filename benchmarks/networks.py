"""The same as `oracle.py` for real networks: a dozen architectures, exported, and really loaded in every ONNX Runtime release.

    python benchmarks/networks.py [FOLDER]      keeps the exported models in FOLDER, and takes those that lie there already

Tiny widths and random weights: which operators, opsets and types an export holds does not depend on either. Both exporters of
torch, at the opsets that they write, in fp32 and fp16; what torch itself cannot export is named and left out.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from torch import nn

from benchmarks.oracle import hold

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
         "max_position_embeddings": 32}  # fmt: skip
IDS, MASK = torch.randint(0, 50, (2, 8)), torch.ones(2, 8, dtype=torch.long)
IMAGE, SOUND = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 64)
# TorchScript's exporter writes up to 20; the other writes 18 and later, and converts from 18 downwards.
CHOICES = ((False, 17), (False, 20), (True, 18), (True, 20), (True, 21), (True, 22), (True, 23))


class First(nn.Module):
    """A model of transformers, by its first output and without a cache."""

    def __init__(self, model: nn.Module, *names: str) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """Its first output."""
        output: torch.Tensor = self.model(**dict(zip(self.names, given, strict=True)), return_dict=True)[0]
        return output


class Residual(nn.Module):
    """Convolutions, batch norms, pooling and a shortcut, as in ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.Softmax(-1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Classes."""
        at = self.stem(pixels)
        answer: torch.Tensor = self.head(torch.relu(self.block(at) + at))
        return answer


class UNet(nn.Module):
    """Down and up again, with group and instance norms, interpolation and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8)
        self.middle, self.up = nn.Conv2d(8, 8, 3, 2, 1), nn.ConvTranspose2d(8, 8, 2, 2)
        self.last, self.out = nn.InstanceNorm2d(8), nn.Conv2d(16, 2, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """A mask."""
        above = nn.functional.leaky_relu(self.norm(self.down(pixels)))
        below = nn.functional.gelu(self.middle(above))
        wide = nn.functional.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.out(torch.cat([above, self.last(self.up(below)) + wide], 1)))


class Recurrent(nn.Module):
    """An embedding, a bidirectional LSTM and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(50, 8), nn.LSTM(8, 8, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(16, 8, 2, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Features of every token."""
        answer: torch.Tensor = self.gru(self.lstm(self.words(ids))[0])[0]
        return answer


def mobile() -> nn.Module:
    """Depthwise convolutions and hard activations, as in MobileNet."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Hardswish(),
        nn.Conv2d(8, 16, 1), nn.SiLU(), nn.Hardsigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 64, 4),
    )  # fmt: skip


def sound() -> nn.Module:
    """Convolutions over time."""
    return nn.Sequential(
        nn.ReflectionPad1d(2), nn.Conv1d(1, 8, 10, 5), nn.Mish(), nn.ConvTranspose1d(8, 4, 4, 2), nn.PReLU()
    )


def _text(model: nn.Module) -> nn.Module:
    return First(model, "input_ids", "attention_mask")


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "residual": (Residual, (IMAGE,)),
    "mobile": (mobile, (IMAGE,)),
    "unet": (UNet, (IMAGE,)),
    "recurrent": (Recurrent, (IDS,)),
    "sound": (sound, (SOUND,)),
    "bert": (lambda: _text(transformers.BertModel(transformers.BertConfig(**SMALL))), (IDS, MASK)),
    "distilbert": (lambda: _text(transformers.DistilBertModel(transformers.DistilBertConfig(
        vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=32))), (IDS, MASK)),
    "albert": (lambda: _text(transformers.AlbertModel(transformers.AlbertConfig(embedding_size=8, **SMALL))), (IDS, MASK)),
    "gpt2": (lambda: _text(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32, use_cache=False))), (IDS, MASK)),
    "llama": (lambda: _text(transformers.LlamaForCausalLM(transformers.LlamaConfig(
        num_key_value_heads=1, use_cache=False, **SMALL))), (IDS, MASK)),
    "t5": (lambda: _text(transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))), (IDS, MASK)),
    "vit": (lambda: First(transformers.ViTModel(transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16)),
        "pixel_values"), (IMAGE,)),
    "swin": (lambda: First(transformers.SwinModel(transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[2], num_heads=[2], window_size=4)), "pixel_values"), (IMAGE,)),
}  # fmt: skip


def export(folder: Path) -> Iterator[str]:
    """Writes every network in every form; says which torch itself could not write."""
    for name, (make, inputs) in NETWORKS.items():
        for dynamo, opset in CHOICES:
            for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
                path = folder / f"{name}-{'dynamo' if dynamo else 'script'}-{opset}-{precision}.onnx"
                if path.exists():
                    continue
                torch.manual_seed(0)
                given = tuple(one.to(dtype) if one.is_floating_point() else one for one in inputs)
                try:
                    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
                        _write(make().eval().to(dtype), given, path, opset, dynamo)
                except Exception as error:  # noqa: BLE001 - torch raises anything; it is told and the others go on
                    path.unlink(missing_ok=True)
                    yield f"{path.stem}: {str(error).splitlines()[0][:100]}"


def _write(model: nn.Module, given: tuple[Any, ...], path: Path, opset: int, dynamo: bool) -> None:
    if dynamo:
        torch.onnx.export(model, given, str(path), opset_version=opset, dynamo=True, external_data=False, verbose=False)
    else:
        torch.onnx.export(model, given, str(path), opset_version=opset, dynamo=False)


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else made)
        folder.mkdir(parents=True, exist_ok=True)
        for fault in export(folder):
            print(f"not exported: {fault}")
        hold(sorted(str(path) for path in folder.rglob("*.onnx")), ROOT / ".cache" / "kernels")


if __name__ == "__main__":
    main()
