"""The command ``mlpipe``: one parser, one table of commands, one ending for errors.

Exit codes: 0 well, 1 the pipeline failed or files have drifted, 2 a bad spec, setting or command line, 130 stopped with
Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import keyword
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from airflow_mlpipe import __version__
from airflow_mlpipe.cli.short_life import ShortLife
from airflow_mlpipe.errors import ConfigError, MLPipeError, ParameterError, SpecError

COMMANDS = {
    "init": "start a small working pipeline in a new folder",
    "validate": "check pipeline files, every fault at once",
    "lint": "check pipeline files, with advice; for CI too",
    "import": "read a pipeline of the Azure ML SDK v1 or of dag-factory",
    "preview": "draw the graph of a pipeline",
    "plan": "show what a run would reuse or run, and why",
    "run": "run a pipeline here, without Airflow",
    "generate": "write the Airflow DAG files of pipelines",
    "explain": "say why a step of a run was reused or run",
    "runs": "list the runs of a pipeline",
    "trigger": "start a run in Airflow",
    "cancel": "end a run in Airflow, with its jobs",
    "publish": "keep a pipeline as a version that never changes, with its DAG",
    "endpoints": "stable names for published pipelines",
    "gc": "remove what nobody needs any more",
    "sweep": "end jobs that nobody owns",
    "compute": "list the compute targets, or try one",
    "pin": "keep the outputs of a run, whatever their age",
    "models": "list registered models and their versions",
    "component": "register components, list them, lay them down beside a pipeline",
    "schema": "print the JSON schema of pipeline files, for editors",
}
"""Name to help; the command ``x`` is the module ``airflow_mlpipe.cli.x``, imported only when it is called.
One whose name is a word of Python (``import``) is ``airflow_mlpipe.cli.import_``."""

_DESCRIPTION = "Azure ML pipelines on any Apache Airflow: reused steps, typed parameters, plain DAG files."
_EXAMPLES = """\
examples:
  mlpipe init flights                       a pipeline that runs as it is
  mlpipe run flights/pipeline.yml           run it here; a second time, every step is reused
  mlpipe plan flights/pipeline.yml          what would run now, and why
  mlpipe generate flights/ -o dags/         its Airflow DAG
  mlpipe generate flights/ -o dags/ --check in CI: fails when the two differ

'mlpipe COMMAND --help' explains a command."""
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    :param argv: the words after ``mlpipe``; ``None`` for those of this process, which then ends with this exit code.
    """
    if argv is not None:
        return _run(argv)
    life = ShortLife(sys.argv[1:])
    life.code = _run(sys.argv[1:])
    return life.code


def _run(words: Sequence[str]) -> int:
    debug = "--debug" in words or os.environ.get("MLPIPE_DEBUG") == "1"
    _show_any_text()
    try:
        arguments = _parser(words).parse_args(words)
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except MLPipeError as error:
        return _report(error, debug)
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        return _report_bug(error, debug)


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser; of the commands, only the one that is called knows its options."""
    command = next((word for word in words if not word.startswith("-")), None)
    style = _help_style(words)
    parser = argparse.ArgumentParser(
        prog="mlpipe", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=style, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"mlpipe {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an unexpected error")
    if command is not None and command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        parser.error(f"there is no command '{command}'; known: {', '.join(COMMANDS)}.{hint}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if name == command:
            _add_command(commands, name, style)
        else:
            commands.add_parser(name, help=text, add_help=False)
    return parser


def command_module(name: str) -> Any:
    """Import and return the module of a command."""
    return import_module(f"airflow_mlpipe.cli.{name}_" if keyword.iskeyword(name) else f"airflow_mlpipe.cli.{name}")


def _add_command(commands: Any, name: str, style: Any) -> None:
    module = command_module(name)
    examples = "\n".join(f"  {line}" for line in module.EXAMPLES.splitlines())
    parser = commands.add_parser(
        name,
        help=COMMANDS[name],
        description=module.DESCRIPTION,
        epilog=f"examples:\n{examples}",
        formatter_class=style,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def _help_style(words: Sequence[str]) -> Any:
    """Coloured help costs an import of rich; pay only when help is asked for."""
    if not {"-h", "--help"} & set(words):
        return argparse.RawDescriptionHelpFormatter
    from rich_argparse import RawDescriptionRichHelpFormatter  # noqa: PLC0415 - heavy

    class Style(RawDescriptionRichHelpFormatter):
        """Brackets in our texts are text."""

        text_markup = False
        help_markup = False

    return Style


def _report(error: MLPipeError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(error, file=sys.stderr)
    return 2 if isinstance(error, SpecError | ConfigError | ParameterError) else 1


def _report_bug(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    else:
        print(
            f"mlpipe {__version__} stopped on an error that it does not know: {type(error).__name__}: {error}\n"
            "This is a fault of mlpipe. Repeat the command with --debug and report what it shows to the maintainers.",
            file=sys.stderr,
        )
    return 1


def _show_any_text() -> None:
    """Print what a terminal cannot show as escapes rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """The reader has gone (``mlpipe ... | head``): keep the interpreter from complaining when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
