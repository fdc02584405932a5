#!/usr/bin/env python3
"""Stands in for NVIDIA's ``trtexec`` where no GPU is: takes the same words, prints the same lines, leaves files of the same form.

A plan of it has a genuine header (``ftrt``, the version in bytes 24 to 27), and behind it the model, which ONNX Runtime runs on
the CPU. How it shall fail is said by ``trtexec.json`` beside it: a child of a build gets nothing of the environment.
Lines are those of NVIDIA/TensorRT ``samples/common`` and of the issues named in ``core/engine_log.py``.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).absolute()
SETTINGS = {"tensorrt": "10.6.0.26", "gpu": "NVIDIA H100 80GB HBM3", "cc": "9.0", "fail": ""}
STAMP = "[11/24/2026-10:00:00]"
HELP = """
=== Model Options ===
  --onnx=<file>               ONNX model
=== Build Options ===
  --minShapes=spec            Build with dynamic shapes using a profile with the min shapes provided
  --optShapes=spec            Build with dynamic shapes using a profile with the opt shapes provided
  --maxShapes=spec            Build with dynamic shapes using a profile with the max shapes provided
  --memPoolSize=poolspec      Specify the size constraints of the designated memory pool(s)
  --noTF32                    Disable tf32 precision
  --stronglyTyped             Create a strongly typed network
  --versionCompatible, --vc   Mark the engine as version compatible
  --excludeLeanRuntime        Exclude the lean runtime from the plan
  --skipInference             Exit after the engine has been built and skip inference perf measurement
  --saveEngine=<file>         Save the serialized engine
  --loadEngine=<file>         Load a serialized engine
  --timingCacheFile=<file>    Save/load the serialized global timing cache
  --hardwareCompatibilityLevel=mode  Make the engine file compatible with other GPU architectures
=== Inference Options ===
  --shapes=spec               Set input shapes for dynamic shapes inference inputs
  --loadInputs=spec           Load input values from files
  --iterations=N              Run at least N inference iterations
  --warmUp=N                  Run for N milliseconds to warmup
  --duration=N                Run performance measurements for at least N seconds
=== Reporting Options ===
  --exportOutput=<file>       Write the output tensors to a json file
  --exportLayerInfo=<file>    Write the layer information of the engine in a json file
=== Help ===
  --help, -h                  Print this message
"""
WEAK = "  --fp16                      Enable fp16 precision\n  --bf16                      Enable bf16 precision\n"
NODE = f'{STAMP} [E] [TRT] ModelImporter.cpp:882: While parsing node number 3 [{{0}} -> "y"]:'
PARSED = (f"{STAMP} [E] Failed to parse onnx file", f"{STAMP} [I] Finished parsing network model. Parse time: 0.1",
          f"{STAMP} [E] Parsing model failed", f"{STAMP} [E] Failed to create engine from model or file.",
          f"{STAMP} [E] Engine set up failed")  # fmt: skip
BEFORE = {  # as the GPU is looked for
    "gpu": (["Cuda failure: no CUDA-capable device is detected"], -signal.SIGABRT),
    "no-device": ([f"{STAMP} [I] Cannot find any available devices (GPUs)!"], 1),
    "driver": (["Cuda failure: CUDA driver version is insufficient for CUDA runtime version"], -signal.SIGABRT),
    "forward": (["Cuda failure: forward compatibility was attempted on non supported HW"], -signal.SIGABRT),
}
AFTER = {  # while the plan is built
    "operator": ([f"{STAMP} [I] [TRT] No importer registered for op: Fancy. Attempting to import as plugin.",
                  f"{STAMP} [E] [TRT] 3: getPluginCreator could not find plugin: Fancy version: 1", NODE.format("Fancy"),
                  f'{STAMP} [E] [TRT] ModelImporter.cpp:887: ERROR: onnxOpImporters.cpp:6521 In function importFallback:',
                  '[8] Assertion failed: creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
                  *PARSED], 1),
    "parser": ([NODE.format("Gather"), f"{STAMP} [E] [TRT] ModelImporter.cpp:887: ERROR: INVALID_NODE: bad axis", *PARSED], 1),
    "memory": ([f"{STAMP} [E] Error[2]: [virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory",
                f"{STAMP} [W] [TRT] Requested amount of GPU memory (34359738368 bytes) could not be allocated.",
                f"{STAMP} [E] Error[10]: Could not find any implementation for node {{ForeignNode[x...y]}}.",
                f"{STAMP} [E] Engine could not be created from network"], 1),
    "implementation": ([f"{STAMP} [E] Error[10]: Could not find any implementation for node {{ForeignNode[x...y]}}."], 1),
    "new-gpu": ([f"{STAMP} [E] [TRT] 1: Target GPU SM 120 is not supported by this TensorRT release."], 1),
}  # fmt: skip


def main(words):
    settings = SETTINGS | (json.loads(said.read_text()) if (said := HERE.with_name("trtexec.json")).exists() else {})
    numbers = [int(part) for part in settings["tensorrt"].split(".")]
    scale = (10_000, 100) if numbers[0] >= 10 else (1_000, 100)
    banner = (
        f"TensorRT.trtexec [TensorRT v{numbers[0] * scale[0] + numbers[1] * scale[1] + numbers[2]}] [b{numbers[3]}]"
    )
    line = f"# {HERE} {' '.join(words)}"
    print(f"&&&& RUNNING {banner} {line}", flush=True)
    listed = HELP + (WEAK if numbers[0] < 11 else "")
    if "--help" in words:
        print(listed)
        return 0
    asked = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    unknown = [name for name in asked if f"--{name}" not in listed]
    code = 1
    if unknown:
        print(f"{STAMP} [E] Unknown option: --{unknown[0]} {asked[unknown[0]]}")
    else:
        code = build(asked, settings, numbers) if "onnx" in asked else answer(asked, settings)
    print(f"&&&& {'FAILED' if code else 'PASSED'} {banner} {line}", flush=True)
    return code


def look(settings):
    """The GPU; ends the process where there is none."""
    print(f"{STAMP} [I] === Device Information ===", flush=True)
    if settings["fail"] in BEFORE:
        lines, code = BEFORE[settings["fail"]]
        print(*lines, sep="\n", flush=True)
        if code < 0:
            os.kill(os.getpid(), -code)
        sys.exit(code)
    print(f'{STAMP} [I]   Device 0: "{settings["gpu"]}" UUID: GPU-9196782c-2fae-91c7-c24f-e9a05e4369a7')
    print(f"{STAMP} [I] Selected Device: {settings['gpu']}")
    print(f"{STAMP} [I] Compute Capability: {settings['cc']}")
    print(f"{STAMP} [I] Device Global Memory: 81105 MiB", flush=True)


def spec(text):
    return {name.strip("'"): tuple(int(n) for n in shape.split("x")) for name, shape in
            (part.rsplit(":", 1) for part in text.split(",") if part)}  # fmt: skip


def build(asked, settings, numbers):
    import onnx

    look(settings)
    fail = settings["fail"]
    if fail == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        HERE.with_name("child").write_text(str(child.pid))
        time.sleep(600)
    if fail == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fail == "chatty":
        while True:
            print(f"{STAMP} [V] [TRT] " + "tactic " * 1000)
    if fail == "greedy":
        kept = bytearray(os.urandom(2**20) * 600)
        time.sleep(60)
        return len(kept)
    print(f"{STAMP} [I] Start parsing network model.", flush=True)
    if fail in AFTER:
        lines, code = AFTER[fail]
        print(*lines, sep="\n", flush=True)
        return code
    model = onnx.load(asked["onnx"])  # with its data files
    most, least = spec(asked.get("maxShapes", "")), spec(asked.get("minShapes", ""))
    names = [t.name for t in (*model.graph.input, *model.graph.output)]
    precision = "fp16" if "fp16" in asked else "bf16" if "bf16" in asked else "typed"
    kept = json.dumps({"most": most, "least": least, "precision": precision}).encode()
    told = [11, 9, 9, 9] if fail == "other-version" else numbers
    header = b"ftrt" + struct.pack("<I", 0) + bytes(16) + bytes(told) + bytes(4)
    plan = header + struct.pack("<I", len(kept)) + kept + model.SerializeToString()
    if fail != "no-plan":
        Path(asked["saveEngine"]).write_bytes(plan[:20] if fail == "short-plan" else plan)
    if "timingCacheFile" in asked:
        with Path(asked["timingCacheFile"]).open("ab") as cache:
            cache.write(b"timing")
    if fail == "other-bindings":
        names = names[:-1]
    Path(asked["exportLayerInfo"]).write_text(
        '{"Layers": ["' + '"\n,"'.join(node.name or node.op_type for node in model.graph.node)
        + '"\n],\n"Bindings": ["' + '"\n,"'.join(names) + '"\n]}'
    )  # fmt: skip
    print(f"{STAMP} [I] Engine built in 1.25 sec.", flush=True)
    return 0


def answer(asked, settings):
    import numpy as np
    import onnxruntime

    look(settings)
    if settings["fail"] == "hang-answer":
        time.sleep(600)
    data = Path(asked["loadEngine"]).read_bytes()
    assert data[:4] == b"ftrt"
    length = struct.unpack("<I", data[32:36])[0]
    kept, model = json.loads(data[36 : 36 + length]), data[36 + length :]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    shapes = spec(asked.get("shapes", ""))
    files = {name.strip("'"): path for name, path in (part.rsplit(":", 1) for part in asked["loadInputs"].split(","))}
    kinds = {
        "tensor(float)": "<f4",
        "tensor(int64)": "<i8",
        "tensor(int32)": "<i4",
        "tensor(float16)": "<f2",
        "tensor(bool)": "?",
    }
    fed = {}
    for wanted in session.get_inputs():
        shape = shapes.get(wanted.name) or tuple(wanted.shape)
        if wanted.name in kept["most"] and any(
            not low <= n <= high
            for low, n, high in zip(kept["least"][wanted.name], shape, kept["most"][wanted.name], strict=True)
        ):
            print(f"{STAMP} [E] Error[3]: IExecutionContext::setInputShape: Error Code 3: API Usage Error")
            return 1
        fed[wanted.name] = np.frombuffer(Path(files[wanted.name]).read_bytes(), kinds[wanted.type]).reshape(shape)
    given = session.run(None, fed)
    entries = []
    for told, exact in zip(session.get_outputs(), given, strict=True):
        array = exact
        if kept["precision"] == "fp16" and array.dtype == np.float32:
            array = array.astype(np.float16).astype(np.float32)
        if settings["fail"] == "drift":
            array = array * np.float32(1.5)
        values = [
            "nan" if settings["fail"] == "nan" else f"{value:.6g}" if isinstance(value, float) else str(int(value))
            for value in array.reshape(-1).tolist()
        ]
        entries.append(f'  {{ "name" : "{told.name}"\n  , "dimensions" : "{"x".join(map(str, array.shape))}"\n'
                       f'  , "values" : [ {", ".join(values)} ]\n  }}\n')  # fmt: skip
    if settings["fail"] == "swapped":
        with Path(asked["loadEngine"]).open("ab") as plan:
            plan.write(b"!")
    Path(asked["exportOutput"]).write_text("[\n" + ", ".join(entries) + "]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
