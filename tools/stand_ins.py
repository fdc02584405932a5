"""Stand-ins for NVIDIA's libraries, so that the CUDA provider of an ONNX Runtime wheel can be listed on any machine.

The provider is a library of its own that needs CUDA, cuDNN, TensorRT and a driver to be loaded at all; to list its kernels
it computes nothing. So each library it needs is compiled here (by ``cc``) with the very functions the provider imports, all of
which answer 0: success, and nothing found. Not for running models: nothing is computed.
"""

import re
import subprocess
from pathlib import Path

_NEEDED = re.compile(r"NEEDED.*\[(lib(?:cu|nv)[^\]]*)\]")
_IMPORT = re.compile(r"^\s+U (\w+)(?:@+(\S+))?$", re.M)
_DRIVER = re.compile(rb"\0(cu[A-Z][A-Za-z0-9_]{3,40})(?=\0)")  # looked up by name in libcuda, not imported
# Imports without a version do not say which library they are of.
_UNVERSIONED = {
    "libcudnn.so": "cudnn",
    "libnvinfer.so": "createInfer|getInfer|getPlugin|getLogger",
    "libnvinfer_plugin.so": "initLib",
    "libnvonnxparser.so": "createNv|getNv",
}
_OBJECT = """
static long zero(void) { return 0; }
static void *table[256] = {[0 ... 255] = (void *)zero};
static void *object[64] = {table};
"""
_OTHERWISE = {
    "__cudaRegisterFatBinary": "void *__cudaRegisterFatBinary(void) { return object; }",
    "getPluginRegistry": "void *getPluginRegistry(void) { return object; }",
    "cudaGetDeviceCount": "int cudaGetDeviceCount(int *n) { *n = 1; return 0; }",
    "cudaMemGetInfo": "int cudaMemGetInfo(unsigned long *a, unsigned long *b) { *a = *b = 1UL << 34; return 0; }",
}


def build(libraries: list[Path], folder: Path) -> None:
    """Writes a stand-in into ``folder`` for everything of NVIDIA's that ``libraries`` need."""
    folder.mkdir(parents=True, exist_ok=True)
    needed: set[str] = set()
    imports: set[tuple[str, str]] = set()
    looked_up: set[str] = set()
    for library in libraries:
        needed.update(_NEEDED.findall(_said("readelf", "--dynamic", str(library))))
        imports.update(_IMPORT.findall(_said("nm", "--dynamic", "--undefined-only", str(library))))
        looked_up.update(name.decode() for name in _DRIVER.findall(library.read_bytes()))
    for soname in sorted(needed):
        versioned = {name for name, version in imports if version == soname}
        ours = _UNVERSIONED.get(soname[: soname.index(".so") + 3])
        plain = {name for name, version in imports if ours and not version and re.match(ours, name)}
        _compile(soname, versioned | plain, folder, versions=bool(versioned))
    for soname in ("libcuda.so", "libcuda.so.1"):
        _compile(soname, looked_up, folder, versions=False)


def _compile(soname: str, functions: set[str], folder: Path, *, versions: bool) -> None:
    bodies = [_OTHERWISE.get(name, f"long {name}(void) {{ return 0; }}") for name in sorted(functions)]
    code, script = folder / f"{soname}.c", folder / f"{soname}.map"
    code.write_text(_OBJECT + "\n".join(bodies) + "\n")
    script.write_text(f"{soname} {{ global: *; }};\n")
    flags = [f"-Wl,--version-script={script}"] if versions else []
    base = ["cc", "-w", "-O1", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{soname}"]
    subprocess.run([*base, *flags, str(code), "-o", str(folder / soname)], check=True)


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
