"""The command line: ``promote <verb>``. One file per verb beside this one; each is imported when it is called.

stdout carries data only, everything else goes to stderr. A refusal is printed with all its reasons; an error is one line,
a blank line and a hint; the exit code says which (``promote.errors.EXIT_CODES``).
"""

import gc
import importlib
import os
import signal
import sys
import tempfile
import traceback
from types import FrameType

import click

from promote import __version__
from promote.core.extras import not_installed
from promote.errors import EXIT_CODES, Interrupted, PromoteError

# verb -> one line for --help, so that --help imports none of them
VERBS: dict[str, str] = {
    "init": "Write a commented promote.toml.",
    "targets": "List the hosts that models can be promoted to.",
    "target": "Probe a target, and keep what was measured.",
    "check": "Say whether a model file will load on a target, and why.",
    "what-if": "Say what breaks, degrades or must be rebuilt when a target changes.",
    "matrix": "Show, explain, compare, validate and refresh what the verdicts rest on.",
    "plan": "Say what a run would be exported to for its targets, and what is ruled out.",
    "model": "Take an MLflow run to a reviewed release.",
    "pull": "Fetch a bundle as a folder that Triton serves: whole and verified, or not there.",
    "push": "Bring a bundle from one registry to another, its digest kept.",
    "copy": "Copy a bundle with all that refers to it between registries and layouts.",
    "export": "Write a bundle with all that refers to it into one file, for where no network goes.",
    "import": "Bring a bundle from such a file into a registry or layout.",
    "list": "List what lies in a registry or layout: tags, digests, sizes, and the targets they were judged for.",
    "inspect": "List a bundle: its files, facts and annotations, and what refers to it.",
    "verify": "Read every byte of a bundle and hold it against its digest.",
    "diff": "Compare two bundles: files, configuration, facts, and the bytes between them.",
    "build-engine": "Have a TensorRT plan built where it will serve, proven there, and kept with its record.",
    "resolve": "Say which variant of a release a target gets, and why no other.",
    "review": "List what waits for a review; show, approve or reject a release for a target.",
    "history": "Tell what happened to a model's versions, or what served at a time, and on whose word.",
    "fsck": "Hold registry, MLflow and a host's record against each other; rebuild either from the other.",
    "withdraw": "Mark a bad version, so that no target takes it any more.",
    "policy": "Say whether the policy lets a release serve on a target, and why.",
    "deploy": "Bring a release to a target's Triton and prove that it answers.",
    "rollback": "Serve the version before, in one command.",
    "status": "What is desired on a target, what is deployed, and what really answers.",
    "sync": "Bring a host to what is desired of it, again and again.",
    "smoke": "Ask the live version its golden inputs again, and say whether it answers as it was proven.",
    "bench": "Throughput and latency of the live version, beside those of the former one.",
    "template": "The kinds of model there are: their settings, and their directories written.",
    "doctor": "Look at what a promotion needs, and say what is missing.",
}


class Verbs(click.Group):
    """Finds a verb in the file of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a user meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imported now, not before."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"promote.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, so that no verb is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="promote")
@click.option("--config", metavar="FILE", help="Settings file; else PROMOTE_CONFIG, else the nearest promote.toml.")
@click.pass_context
def promote(ctx: click.Context, config: str | None) -> None:
    """Take an MLflow run to a model served by NVIDIA Triton.

    If promote says compatible, it loads; if it says live, that digest answers.
    """
    ctx.obj = config


def main() -> None:
    """Entry point of the ``promote`` script; ends the process."""
    # What is imported and remembered stays: looking through it for garbage again and again costs a tenth of a short command.
    gc.set_threshold(200_000, 20, 20)
    # promote wants no plugin of pydantic, and to look for one is to read the metadata of every package there is.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    as_json = "--json" in arguments or "--jsonl" in arguments
    try:
        result = promote.main(arguments, prog_name="promote", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except PromoteError as error:
        return _report(error.message, error.hint, error.exit_code, as_json)
    except (KeyboardInterrupt, click.Abort):
        return _report("interrupted", "what was finished is kept: run the same command again to go on", 130, as_json)
    except click.ClickException as error:
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "promote"
        return _report(error.format_message(), f"{path} --help", 2, as_json)
    except BrokenPipeError:  # the reader of stdout left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a library that is missing, or a fault of ours
        if missing := not_installed(error):
            return _report(missing.message, missing.hint, missing.exit_code, as_json)
        return _fault(error, as_json)


def _report(message: str, hint: str, code: int, as_json: bool) -> int:
    from promote.cli.render import print_error

    print_error(message, hint, code, as_json)
    return code


def _fault(error: Exception, as_json: bool) -> int:
    if os.environ.get("PROMOTE_DEBUG"):
        traceback.print_exc()
    with tempfile.NamedTemporaryFile("w", prefix="promote-fault-", suffix=".txt", delete=False) as handle:
        handle.write(f"promote {__version__}, Python {sys.version}\n")
        traceback.print_exc(file=handle)
    return _report(f"a fault of promote itself: {type(error).__name__}", f"please report {handle.name}", 1, as_json)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted(
        f"stopped by {signal.Signals(number).name}",
        hint="what was finished is kept: run the same command again to go on",
    )


if __name__ == "__main__":
    main()
