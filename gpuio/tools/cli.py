"""The command `gpuio`: one table of subcommands, each a module that is loaded when it is run.

A command's module has ``add_arguments(parser)``, ``run(args) -> int`` and ``EXAMPLES``, a tuple of
command lines for its help; where its exit codes mean more than `gpuio.tools.parser.EXIT_CODES`
says, ``EXITS``, a dict of those; where something is to be done after Ctrl-C, ``STOPPED``, a
sentence that says what. Exit codes: 0 done, 1 something was found, 2 the arguments are wrong, 3 a
file could not be read or written, 130 stopped by Ctrl-C. An error of ours that a command does not
catch is printed behind its name: 3 if it is a StorageError, 2 if an OptionError, else 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable
from types import ModuleType

from gpuio._version import __version__
from gpuio.errors import BackendError, GpuioError, OptionError, StorageError
from gpuio.tools.parser import Parser, suggestion
from gpuio.tools.terminal import say

__all__ = ["COMMANDS", "call", "command_parser", "main"]

# name: (module, what it does)
COMMANDS = {
    "bench": ("gpuio.tools.bench", "say what a record file gives on this machine, and what limits"),
    "cat": ("gpuio.tools.cat", "write the image of one record, as it is stored"),
    "checksum": ("gpuio.tools.checksum", "write checksums of a record file's records"),
    "completion": ("gpuio.tools.completion", "print a script that makes a shell complete"),
    "convert": ("gpuio.tools.convert", "convert record files from and to other formats"),
    "demo": ("gpuio.tools.demo", "pack photos, read them back, show a batch"),
    "doctor": ("gpuio.tools.doctor", "say what is installed and what is missing for the GPU"),
    "extract": ("gpuio.tools.extract", "write the images of a record file into files"),
    "filter": ("gpuio.tools.filter", "write the images that meet conditions"),
    "im2rec": ("gpuio.tools.im2rec", "make image lists and pack record files"),
    "info": ("gpuio.tools.info", "say what a record file holds"),
    "ls": ("gpuio.tools.ls", "list the records of a file"),
    "manifest": ("gpuio.tools.manifest", "describe the parts of a data set in one file"),
    "merge": ("gpuio.tools.merge", "write several record files into one"),
    "options": ("gpuio.tools.options", "print the options of the record iterators"),
    "rec2idx": ("gpuio.tools.rec2idx", "make a record file's index"),
    "repair": ("gpuio.tools.repair", "copy what is sound in a damaged record file"),
    "shuffle": ("gpuio.tools.shuffle", "write the images of a record file in a random order"),
    "split": ("gpuio.tools.split", "divide a record file among several"),
    "show": ("gpuio.tools.show", "draw a contact sheet of a record file"),
    "stats": ("gpuio.tools.stats", "measure how well shuffles mix the labels of record files"),
    "warmup": ("gpuio.tools.warmup", "compile the CPU kernels now, and keep them"),
    "verify": ("gpuio.tools.verify", "look for damage in record files"),
}

_STOPPED = 130  # as shells say it: 128 and the number of the signal


def call(
    name: str,
    run: Callable[[argparse.Namespace], int],
    args: argparse.Namespace,
    stopped: str = "start it again",
) -> int:
    """Run a command; return its exit code, which an error of ours has as well.

    Parameters
    ----------
    name : str                  of the command
    run : callable(args) -> int
    args : Namespace            with --json, an error is printed as JSON, too
    stopped : str               what to do after Ctrl-C; a command with --resume says that instead
    """
    try:
        code = run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GpuioError as error:
        code = 3 if isinstance(error, StorageError) else 2 if isinstance(error, OptionError) else 1
        if getattr(args, "json", False):
            print(json.dumps({"error": _facts(name, error), "exit_code": code}))
        if isinstance(error, BackendError):  # a list of what is missing, in lines of its own
            print(f"gpuio {name}: {error}", file=sys.stderr)
        else:
            say(name, str(error))
    except OSError as error:  # of standard output: files are told about as StorageError
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = error.filename or "standard output"
        say(name, f"cannot write {where}: {error.strerror or error}")
        return 3
    except KeyboardInterrupt:
        if hasattr(args, "resume"):
            stopped = "the same command with --resume goes on from here"
        say(name, f"stopped; {stopped}")
        return _STOPPED
    return code


def _facts(name: str, error: GpuioError) -> dict[str, object]:
    """Return an error as JSON types."""
    return {
        "command": name,
        "type": type(error).__name__,
        "message": error.message,
        "path": error.path,
        "key": error.key,
        "offset": error.offset,
    }


def command_parser(name: str) -> tuple[Parser, ModuleType]:
    """Return the parser of a command and its module, which is imported."""
    module, what = COMMANDS[name]
    command = importlib.import_module(module)
    parser = Parser(
        f"gpuio {name}", what, getattr(command, "EXAMPLES", ()), getattr(command, "EXITS", None)
    )
    command.add_arguments(parser)
    return parser, command


def main(argv: list[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    name = given[0] if given else "help"
    try:
        if name in COMMANDS:
            parser, command = command_parser(name)
            args = parser.parse_args(given[1:])
            more = {"stopped": command.STOPPED} if hasattr(command, "STOPPED") else {}
            return call(name, command.run, args, **more)
        rest = given[1:]
        return call("help", lambda _: _without_command(name, rest), argparse.Namespace())
    except KeyboardInterrupt:  # before the command began
        say(name, "stopped")
        return _STOPPED


def _without_command(name: str, rest: list[str]) -> int:
    """Answer ``gpuio``, ``gpuio help [COMMAND]``, ``gpuio --version``, and what is not known."""
    if name in {"--version", "-V", "version"}:
        print(f"gpuio {__version__}")
        return 0
    if name in {"help", "--help", "-h"}:
        if rest and rest[0] in COMMANDS:
            command_parser(rest[0])[0].print_help()
            return 0
        if not rest:
            print(_overview())
            return 0
        name = rest[0]
    option = name.startswith("-")
    kind = "option" if option else "command"
    known = ["--version", "--help"] if option else [*COMMANDS, "help", "version"]
    message = f"no {kind} {name}{suggestion(name, known)}"
    if "--json" in rest:
        told = {"command": None, "type": "ArgumentError", "message": message}
        print(json.dumps({"error": told, "exit_code": 2}))
    print(f"gpuio: {message} (gpuio help lists the commands)", file=sys.stderr)
    return 2


def _overview() -> str:
    """Return the commands, with a line each."""
    width = max(map(len, COMMANDS))
    lines = ["usage: gpuio COMMAND ...", "", "Image batches from MXNet RecordIO files.", ""]
    lines += ["commands:"]
    lines += [f"  {name:{width}}  {what}" for name, (_, what) in sorted(COMMANDS.items())]
    lines += ["", "gpuio COMMAND --help says more of one; gpuio --version prints the version"]
    return "\n".join(lines)
