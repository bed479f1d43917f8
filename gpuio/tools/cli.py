"""The command `gpuio`: one table of subcommands, each a module that is loaded when it is run.

A command's module has ``add_arguments(parser)`` and ``run(args) -> int``. Exit codes: 0 done, 1
something was found, 2 the arguments are wrong, 3 a file could not be read or written. An error of
ours that a command does not catch is printed behind its name: 3 if it is a StorageError, 2 if an
OptionError, else 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable

from gpuio._version import __version__
from gpuio.errors import GpuioError, OptionError, StorageError

__all__ = ["COMMANDS", "call", "main"]

# name: (module, what it does)
COMMANDS = {
    "cat": ("gpuio.tools.cat", "write the image of one record, as it is stored"),
    "checksum": ("gpuio.tools.checksum", "write checksums of a record file's records"),
    "demo": ("gpuio.tools.demo", "pack photos, read them back, show a batch"),
    "doctor": ("gpuio.tools.doctor", "say what is installed and what is missing for the GPU"),
    "extract": ("gpuio.tools.extract", "write the images of a record file into files"),
    "im2rec": ("gpuio.tools.im2rec", "make image lists and pack record files"),
    "info": ("gpuio.tools.info", "say what a record file holds"),
    "ls": ("gpuio.tools.ls", "list the records of a file"),
    "options": ("gpuio.tools.options", "print the options of the record iterators"),
    "rec2idx": ("gpuio.tools.rec2idx", "make a record file's index"),
    "repair": ("gpuio.tools.repair", "copy what is sound in a damaged record file"),
    "show": ("gpuio.tools.show", "draw a contact sheet of a record file"),
    "verify": ("gpuio.tools.verify", "look for damage in record files"),
}


def call(name: str, run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command; return its exit code, which an error of ours has as well."""
    try:
        code = run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GpuioError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 3 if isinstance(error, StorageError) else 2 if isinstance(error, OptionError) else 1
    except OSError as error:  # of standard output: files are told about as StorageError
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = error.filename or "standard output"
        print(f"{name}: cannot write {where}: {error.strerror or error}", file=sys.stderr)
        return 3
    return code


def main(argv: list[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        module, what = COMMANDS[argv[0]]
        command = importlib.import_module(module)
        parser = argparse.ArgumentParser(prog=f"gpuio {argv[0]}", description=f"{what}.")
        command.add_arguments(parser)
        return call(argv[0], command.run, parser.parse_args(argv[1:]))
    parser = argparse.ArgumentParser(
        prog="gpuio",
        description="Image batches from MXNet RecordIO files.",
        epilog="commands:\n" + "".join(f"  {n:8}  {what}\n" for n, (_, what) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gpuio {__version__}")
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="COMMAND", help="see below")
    parser.parse_args(argv)
    return 2
