"""Holds the estimate of activation memory against ONNX Runtime on the CPU: its peak while it answers, at three batch sizes.

    python benchmarks/memory.py

Small networks with weights at random are exported by torch with a dynamic batch. A child process opens each with the arena and
memory patterns off, answers once, and tells how far its resident memory rose above what it was before, the inputs added
(allocations of 64 KiB and more go back to the system at once, by glibc's settings). Linux only.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from promote.adapters.onnx_file import read_facts
from promote.core.extents import work_out

BATCHES = (1, 4, 16)
ASK = """
import json, sys
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.enable_cpu_mem_arena = False
options.enable_mem_pattern = False
options.intra_op_num_threads = 2
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
def resident(key):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) * 1024
def feed(batch, sequence):
    made = {}
    for i in session.get_inputs():
        dims = [d if isinstance(d, int) else batch if n == 0 else sequence for n, d in enumerate(i.shape)]
        made[i.name] = np.ones(dims, {"tensor(int64)": np.int64}.get(i.type, np.float32))
    return made
session.run(None, feed(1, 8))
for batch in json.loads(sys.argv[2]):
    given = feed(batch, int(sys.argv[3]))
    before = resident("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    out = session.run(None, given)
    print(json.dumps([batch, resident("VmHWM") - before + sum(a.nbytes for a in given.values())]), flush=True)
    del out
"""


def networks() -> dict[str, tuple[Any, dict[str, Any], dict[str, Any], int]]:
    """Name to the network, its sample, its dynamic axes, and the sequence that is asked."""
    import torch
    import transformers as hf

    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    words = {"input_ids": torch.ones(2, 16, dtype=torch.int64), "attention_mask": torch.ones(2, 16, dtype=torch.int64)}
    of_words = {key: {0: batch, 1: sequence} for key in words}
    picture, of_pictures = {"pixel_values": torch.ones(2, 3, 224, 224)}, {"pixel_values": {0: batch}}
    small = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    made = {
        "bert": (hf.BertModel(hf.BertConfig(**small, attn_implementation="eager")), words, of_words, 256),
        "bert-sdpa": (hf.BertModel(hf.BertConfig(**small)), words, of_words, 256),
        "distilbert": (
            hf.DistilBertModel(hf.DistilBertConfig(dim=256, hidden_dim=1024, n_layers=4, n_heads=4)), words, of_words, 256,
        ),
        "roberta": (hf.RobertaModel(hf.RobertaConfig(**small)), words, of_words, 256),
        "gpt2": (
            hf.GPT2LMHeadModel(hf.GPT2Config(n_embd=256, n_layer=4, n_head=4, use_cache=False, vocab_size=8000)), words,
            of_words, 256,
        ),
        "vit": (hf.ViTModel(hf.ViTConfig(**small)), picture, of_pictures, 0),
        "resnet-18": (
            hf.ResNetModel(hf.ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")),
            picture, of_pictures, 0,
        ),
        "convnext": (hf.ConvNextModel(hf.ConvNextConfig()), picture, of_pictures, 0),
        "mobilenet-v2": (hf.MobileNetV2Model(hf.MobileNetV2Config()), picture, of_pictures, 0),
    }  # fmt: skip
    return made


def export(network: Any, sample: dict[str, Any], axes: dict[str, Any], path: Path) -> None:
    """The network as ONNX of opset 18, with its dynamic axes by name."""
    import torch

    torch.onnx.export(
        network.eval(), (), str(path), kwargs=sample, dynamic_shapes=axes, dynamo=True, opset_version=18,
        input_names=list(sample), external_data=False, verbose=False,
    )  # fmt: skip


def main() -> None:
    logging_off()
    environ = dict(os.environ, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    print(f"{'network':14} {'batch':>5} {'measured':>12} {'estimated':>12} {'ratio':>6}  unsized")
    for name, (network, sample, axes, sequence) in networks().items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export(network, sample, axes, path)
            facts = read_facts(str(path))
            asked = [sys.executable, "-c", ASK, str(path), json.dumps(BATCHES), str(sequence)]
            said = subprocess.run(asked, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout
        for batch, measured in map(json.loads, said.splitlines()):
            known = facts.activations.value if facts.activations else None
            numbers = {"batch": batch, "sequence": sequence, "s0": batch, "s1": sequence}
            values = [work_out(peak, numbers) for peak in known.peaks] if known else []
            estimate = max((v for v in values if v is not None), default=0)
            unsized = f"{known.unsized} of {known.tensors}" if known else "not estimated"
            print(
                f"{name:14} {batch:5} {measured:12,} {estimate:12,} {estimate / measured:6.2f}  {unsized}", flush=True
            )


def logging_off() -> None:
    """torch's exporter and transformers tell much that is not asked here."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    main()
