"""The whole story on this machine, as `make demo` tells it: train, promote, review, deploy, ask, status.

It types the commands a user would type, in `.demo/`, against embedded parts: MLflow on SQLite, an OCI layout on disk, the
real tritonserver on the CPU. Run again it promotes the next version beside the first. It is not a test: tests/e2e is.

    python examples/demo.py            the story
    python examples/demo.py --serve    the demo's Triton in the foreground, to go on playing with
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from examples.local_triton.launch import CannotStart, LocalTriton, start
from examples.local_triton.spawn import free_ports

DEMO = ROOT / ".demo"
MODEL = "maritime-ner"
SENTENCE = "The trawler Nordlys left Tromso on 3 May 2026 with 12 tonnes of cod under the flag of Norway ."
BIN = Path(sys.executable).parent


def main() -> int:
    """The story, or the server alone; 0 when every step ended well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="only run the demo's Triton, in the foreground")
    serve_only = parser.parse_args().serve
    os.chdir(_prepare())
    try:
        return _serve() if serve_only else _story()
    except subprocess.CalledProcessError as error:
        print(f"\nerror: this step failed with exit code {error.returncode}", file=sys.stderr)
        return error.returncode
    except CannotStart as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _story() -> int:
    began = time.monotonic()
    _chapter("1/6", "Train a small model and log it to MLflow")
    # One epoch less than the script's own, for the seconds: entity F1 0.92 and not 0.95, so an entity may be missed.
    train = [sys.executable, str(ROOT / "examples/ner_baseline/train.py"), "--experiment", MODEL, "--epochs", "3"]
    run_id = _out(*train)[-1]
    _chapter("2/6", "Promote the run: find, export, prove, check, push, record")
    reference = _promote("model", run_id, "--target", "local", "--name", MODEL)[-1]
    version = _version(reference)
    _chapter("3/6", "What a reviewer sees")
    _promote("review", "show", f"{MODEL}:v{version}", "--target", "local")
    _chapter("4/6", "Deploy that digest to the real Triton, and prove that it answers")
    with _triton() as triton:
        _promote("deploy", f"{MODEL}@{reference.partition('@')[2]}", "--target", "local")
        _chapter("5/6", "Ask it, and compare with the trained model's own answer")
        _run(
            sys.executable, str(ROOT / "examples/ner_baseline/ask.py"), SENTENCE, "--triton", triton.http,
            "--model", MODEL, "--version", str(version), "--bundle", f"models/{MODEL}/{version}", "--run", run_id,
        )  # fmt: skip
        _chapter("6/6", "What serves now")
        _promote("status", "--target", "local")
    _next_steps(version, time.monotonic() - began)
    return 0


def _prepare() -> Path:
    """The demo's folder with its settings; ports are chosen once, so that later commands find the same Triton."""
    (DEMO / "models").mkdir(parents=True, exist_ok=True)
    settings = DEMO / "promote.toml"
    if not settings.exists():
        ports = free_ports(0, 0)
        text = f'[targets.local]\nhttp = "127.0.0.1:{ports.http}"\ngrpc = "127.0.0.1:{ports.grpc}"\n'
        settings.write_text("# Written by the demo.\n" + text)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{DEMO / 'mlflow.db'}"
    os.environ.pop("PROMOTE_CONFIG", None)
    return DEMO


def _triton() -> LocalTriton:
    """The server on the ports of promote.toml, the models of the record loaded."""
    target = json.loads(subprocess.check_output([BIN / "promote", "targets", "--json"]))["targets"]
    local = next(t for t in target if t["name"] == "local")
    http, grpc = (int(local[key].rpartition(":")[2]) for key in ("http", "grpc"))
    carrier = Path(os.environ.get("PROMOTE_TRITON_CARRIER", ROOT / ".cache/triton"))
    loaded = [f"--load-model={path.parent.name}" for path in Path("models").glob("*/config.pbtxt")]
    print(f"starting Triton on 127.0.0.1:{http}", file=sys.stderr)
    return start(Path("models"), carrier=carrier, work=DEMO / "triton", http_port=http, grpc_port=grpc, options=loaded)


def _serve() -> int:
    with _triton() as triton:
        print(f"Triton answers on http {triton.http} and grpc {triton.grpc}; Ctrl-C ends it", flush=True)
        triton.process.wait()
    return 1


def _version(reference: str) -> int:
    shown = _promote(
        "review", "show", f"{MODEL}@{reference.partition('@')[2]}", "--target", "local", "--json", quiet=True
    )
    return int(json.loads(shown[-1])["passport"]["version"])


def _promote(*arguments: str, quiet: bool = False) -> list[str]:
    return _out(str(BIN / "promote"), *arguments, quiet=quiet)


def _out(*command: str, quiet: bool = False) -> list[str]:
    """Runs a command as a user would see it, and returns the lines of its stdout."""
    if not quiet:
        _show(command)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    if not quiet:
        print(done.stdout, end="", flush=True)
    return done.stdout.splitlines()


def _run(*command: str) -> None:
    _show(command)
    subprocess.run(command, check=True)


def _show(command: tuple[str, ...]) -> None:
    words = [
        Path(w).name if w in (sys.executable, str(BIN / "promote")) else w.replace(str(ROOT) + "/", "") for w in command
    ]
    print("$ " + " ".join(f"'{w}'" if " " in w else w for w in words), file=sys.stderr, flush=True)


def _chapter(number: str, title: str) -> None:
    print(f"\n── {number} {title}", file=sys.stderr, flush=True)


def _next_steps(version: int, seconds: float) -> None:
    model = f"models/{MODEL}/{version}/model.onnx"
    print(
        f"""
Done in {seconds:.0f} s. What to try next, in {DEMO.name}/:
  make serve                                          (in the project's folder: Triton again, until Ctrl-C)
  ../.venv/bin/promote status --target local          (in another terminal)
  ../.venv/bin/promote check {model} --runtime onnxruntime=1.16.3

Where to look:
  MLflow      ../.venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db
  bundle      .demo/bundles/{MODEL}  (an OCI layout: skopeo inspect --raw oci:.demo/bundles/{MODEL}:v{version})
  report      .demo/.promote/reports/{MODEL}-v{version}.html"""
    )


if __name__ == "__main__":
    sys.exit(main())
