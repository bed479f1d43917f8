"""List what each CUDA kernel takes of a multiprocessor, for GPUs that are not here.

    python bench/kernel_resources.py --cuobjdump .venv-cuda/.../cuobjdump --out table.md
    python bench/kernel_resources.py --arch sm_90 --cubins FOLDER   # kept, and read if there

NVRTC compiles all kernels for each architecture (minutes), cuobjdump reads the registers, the
stack, the local memory of spilled registers and the shared memory out of the machine code. A kernel
beyond the limits is printed, and the exit code is 1. `make kernel-table` sets both tools up.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
_TESTS = Path(__file__).resolve().parent.parent / "tests"
_USE = re.compile(
    r"Function (?P<name>\w+):\s*REG:(?P<registers>\d+) STACK:(?P<stack>\d+) "
    r"SHARED:(?P<shared>\d+) LOCAL:(?P<local>\d+)"
)


class Use(NamedTuple):
    """Registers per thread; bytes of stack and spilled registers per thread, shared per block."""

    registers: int
    stack: int
    local: int
    shared: int


# by how the names of architecture and kernel begin, and how the latter ends: the first that fits.
# 20 blocks of the last step, of 64 threads, are meant to reside on a multiprocessor, 16 for four
# channels. sm_75 and sm_86 hold 16 blocks at most, for all numbers of channels.
LIMITS = (
    ("", "finish_", "_4", Use(64, 0, 0, 18 * 1024)),
    ("sm_75", "finish_", "", Use(64, 0, 0, 14 * 1024)),
    ("sm_86", "finish_", "", Use(64, 0, 0, 14 * 1024)),
    ("", "finish_", "", Use(48, 0, 0, 14 * 1024)),
    ("", "stage_", "", Use(128, 32, 0, 0)),  # two blocks of 256 threads
    ("", "gray_sum_", "", Use(64, 32, 0, 0)),
    ("", "tone_", "", Use(64, 32, 0, 4 * 1024)),
    ("", "rows_", "", Use(40, 0, 0, 0)),
)
RESERVED = 1024  # bytes of shared memory that the system keeps per block, on some architectures


def parse(said):
    """Return {kernel: Use} of what cuobjdump says."""
    found = {}
    for match in _USE.finditer(said):
        numbers = {name: int(value) for name, value in match.groupdict().items() if name != "name"}
        found[match["name"]] = Use(**numbers)
    return found


def excesses(used):
    """Return a line for each kernel beyond the limits.

    Parameters
    ----------
    used : dict         architecture -> kernel -> Use
    """
    lines = []
    for arch, kernels in used.items():
        for name, use in kernels.items():
            limit = next(
                most
                for family, start, end, most in LIMITS
                if arch.startswith(family) and name.startswith(start) and name.endswith(end)
            )
            lines += [
                f"{arch} {name}: {what} {value}, the limit is {most}"
                for what, value, most in zip(Use._fields, use, limit, strict=True)
                if value > most + (RESERVED if what == "shared" else 0)
            ]
    return lines


def table(used):
    """Return a page: registers, and the stack where there is one, per kernel and architecture."""
    lines = [
        "# What the CUDA kernels take",
        "",
        "Registers per thread, + bytes of stack per thread where a kernel has one. Shared memory",
        "in bytes per block: the most of all architectures, with 1,024 that the system keeps on",
        "some. Spilled registers are named.",
        "",
        "| kernel | shared | " + " | ".join(used) + " |",
        "| --- |" + " ---: |" * (1 + len(used)),
    ]
    for name in sorted({name for kernels in used.values() for name in kernels}):
        uses = [kernels[name] for kernels in used.values()]
        cells = [
            str(use.registers)
            + (f" + {use.stack}" if use.stack else "")
            + (f", {use.local} spilled" if use.local else "")
            for use in uses
        ]
        lines.append(f"| `{name}` | {max(use.shared for use in uses):,} | {' | '.join(cells)} |")
    lines += ["", "Limits (`LIMITS` in `bench/kernel_resources.py`):", ""]
    lines += ["| kernels | registers | stack | spilled | shared |", "| --- |" + " ---: |" * 4]
    lines += [
        f"| `{start}*{end}`{family and ', ' + family} | {most.registers} | {most.stack} | "
        f"{most.local} | {most.shared:,} |"
        for family, start, end, most in LIMITS
    ]
    return "\n".join(lines) + "\n"


def main():
    """Compile, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--cuobjdump", default=shutil.which("cuobjdump") or "cuobjdump")
    parser.add_argument("--cubins", type=Path, help="folder of compiled kernels: kept, and read")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    sys.path.insert(0, str(_TESTS))
    from support.nvrtc import compile_only

    used = {}
    with tempfile.TemporaryDirectory() as folder:
        cubins = args.cubins or Path(folder)
        cubins.mkdir(exist_ok=True)
        for arch in args.arch:
            cubin = cubins / f"{arch}.cubin"
            if not cubin.exists():
                cubin.write_bytes(compile_only(arch))
            words = [args.cuobjdump, "--dump-resource-usage", str(cubin)]
            used[arch] = parse(
                subprocess.run(words, check=True, capture_output=True, text=True).stdout
            )
    page = table(used)
    if args.out:
        args.out.write_text(page)
    print(page)
    beyond = excesses(used)
    print("\n".join(beyond))
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
