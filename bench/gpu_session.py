"""Run the steps of a call on a machine with a GPU; each has a limit, and none stops another.

    [OUT=folder] [BUDGET=seconds] [GPU=0] bench/gpu_session.sh first|second|short [PACKS [DATA]]

first   all that needs no DALI, 200 seconds
second  what needs DALI, and what takes long, 250 seconds
short   `first` up to the iterators, 140 seconds, for who has five minutes in all
PACKS   folder of wheels, of packs with their install.sh (gpu-*.tar.xz.00, ...), or of both, see
        gpu_install.py; left out or "": whatever is installed is used
DATA    folder with photos/ and faces/, see gpu_carry.py; left out: they are made
OUT     where the two files go that a call leaves, default ./gpu-out: steps.txt, and CALL.tar.gz
        with what each step printed and measured. Both are written anew whenever a step begins or
        ends
GPU=0   runs the same steps at toy size without a GPU, to see that they run

The last line says what to do next: "next: second" or "next: give back". The exit status is 1 if a
step failed or was cut. Only Python's own library is used here: nothing else may be installed yet.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from gpu_install import search_path
from gpu_steps import BUDGETS, NEEDED, Setting, steps_of

ROOT = Path(__file__).resolve().parents[1]
RESERVE = 6  # seconds that each later step is left
ENDING = 3  # seconds that a cut step, and the last archive, may take
_GRACE = 2  # between the two signals to a step that is cut
_CUT = (124, 137)  # how `timeout` says that it was cut
_HALF = ".half"  # of the name of a file that is being written
_SHOWN = 12  # lines of a step's output that are printed


class Record:
    """The two files that a call leaves: steps.txt and the archive.

    Parameters
    ----------
    out : Path          folder for them, made if missing
    work : Path         folder of the steps' results
    call : str          name of the archive
    head : str          first line of steps.txt
    """

    def __init__(self, out, work, call, head):
        self.out, self.work, self.call, self.head = out, work, call, head
        self.lines, self.last, self.changing = {}, "", threading.Lock()
        out.mkdir(parents=True, exist_ok=True)

    def note(self, name, status, seconds="", limit=""):
        """Set a step's line, and write both files anew."""
        with self.changing:
            self.lines[name] = f"{name:<14}{status:<10}{seconds:>9}{limit:>9}"
            self._write()

    def end(self, line):
        """Add the last line."""
        with self.changing:
            self.last = line
            self._write()

    def _write(self):
        columns = f"{'step':<14}{'status':<10}{'seconds':>9}{'limit':>9}"
        text = "\n".join([self.head, columns, *self.lines.values(), self.last]).rstrip() + "\n"
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as archive:
            for path in sorted(self.work.iterdir()):
                if path.suffix == _HALF:
                    continue
                with contextlib.suppress(OSError):  # a step that runs may take it away
                    content = path.read_bytes()
                    member = tarfile.TarInfo(f"{self.call}/{path.name}")
                    member.size, member.mtime = len(content), int(time.time())
                    archive.addfile(member, io.BytesIO(content))
        for name, content in (
            ("steps.txt", text.encode()),
            (f"{self.call}.tar.gz", made.getvalue()),
        ):
            # replaced at once: whoever is killed here leaves the file before this one
            half = self.out / f"{name}{_HALF}"
            try:
                half.write_bytes(content)
                half.replace(self.out / name)
            except OSError as error:  # a full disk: the steps go on, their output is printed
                print(f"{name} is not written: {error}", flush=True)


def limit_of(own, later, left):
    """Return how long a step may take.

    Parameters
    ----------
    own : float             seconds that it is meant to take at most
    later : list of float   the same of the steps behind it
    left : float            of the budget

    Returns
    -------
    float
        `own`, but no later step is left less than `RESERVE`; and twice as much where it costs none
        of them anything; below 1, it is not to be begun
    """
    return max(min(own, left - RESERVE * len(later)), min(2 * own, left - sum(later)))


class Session:
    """The steps of one call.

    Parameters
    ----------
    steps : list of Step
    record : Record
    budget : float          seconds for all of them
    environment : callable  returns what steps run in; asked anew for each, since one installs
    """

    def __init__(self, steps, record, budget, environment):
        self.steps, self.record, self.environment = steps, record, environment
        self.ends = time.monotonic() + budget
        self.statuses, self.running, self.beside, self.ending = {}, [], [], False

    def run(self):
        """Run every step, in order, some beside the others."""
        later = [step.seconds for step in self.steps if not step.beside]
        for step in self.steps:
            left = self.ends - ENDING - time.monotonic()
            if step.beside:
                thread = threading.Thread(target=self.one, args=(step, min(step.seconds, left)))
                thread.start()
                self.beside.append(thread)
                continue
            later = later[1:]
            limit = limit_of(step.seconds, later, left)
            if limit >= 1:
                self.one(step, limit)
            else:
                self.statuses[step.name] = "not-begun"
                self.record.note(step.name, "not-begun")
        self.stop()  # what runs beside the others has no use now

    def one(self, step, limit):
        """Run a step and note how it ended, whatever happens in it."""
        log, begun = self.record.work / f"{step.name}.txt", time.monotonic()
        self.record.note(step.name, "running", "", f"{limit:.0f}")
        status = "failed"
        try:
            with log.open("w") as out:
                command = ["timeout", "-k", str(_GRACE), f"{limit:.2f}", *step.command]
                out.write(" ".join(step.command) + "\n")
                out.flush()
                process = subprocess.Popen(
                    command, cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL,
                    stdout=out, stderr=subprocess.STDOUT,
                )  # fmt: skip
                self.running.append(process)
                code = process.wait()
            code = code if code >= 0 else 128 - code  # a signal's number, as a shell has it
            status = "cut" if code in _CUT else "0" if code in step.good else str(code)
            if status != "0" and self.ending:
                status = "ended"
        except OSError as error:
            log.write_text(f"{error}\n")
        except SystemExit:
            status = "ended"
            raise
        finally:
            took = time.monotonic() - begun
            self.statuses[step.name] = status
            self.record.note(step.name, status, f"{took:.1f}", f"{limit:.0f}")
        lines = log.read_text(errors="replace").splitlines()[1:][-_SHOWN:]
        print(f"== {step.name} {status} {took:.1f}s", *lines, sep="\n", flush=True)

    def stop(self):
        """End what still runs."""
        self.ending = True
        for process in self.running:
            if process.poll() is None:
                process.terminate()  # `timeout` hands it on to all that it started
        for thread in self.beside:
            thread.join(2 * _GRACE)

    def verdict(self, call):
        """Return the last line."""
        missing = [name for name in NEEDED if self.statuses.get(name) != "0"]
        if call == "first" and not missing:
            return "next: second"
        return "next: give back" + (f" ({', '.join(missing)} failed)" if missing else "")


def environment_of(site, call, gpu):
    """Return what steps run in: the packs that are installed so far come first."""
    path = [str(ROOT), *search_path(site, call == "second")]
    if os.environ.get("PYTHONPATH"):
        path.append(os.environ["PYTHONPATH"])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "GPUIO_REQUIRE_GPU": str(int(gpu)),
        # one process must not keep the GPU's memory from the next step
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def stopped(number, _):
    raise SystemExit(128 + number)


def main(argv):
    if not argv or argv[0] not in BUDGETS or len(argv) > 3:
        print(__doc__, file=sys.stderr)
        return 2
    call, packs, data = (*argv, "", "")[:3]
    folders = [Path(one).resolve() if one else None for one in (packs, data)]
    for folder in filter(None, folders):
        if not folder.is_dir():
            print(f"{folder} is not a folder", file=sys.stderr)
            return 2
    gpu = os.environ.get("GPU", "1") != "0"
    budget = float(os.environ.get("BUDGET") or BUDGETS[call])
    site = Path(os.environ.get("SITE") or ROOT / ".site").resolve()
    out = Path(os.environ.get("OUT") or "gpu-out").resolve()
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
    with tempfile.TemporaryDirectory(prefix="gpu-session-") as work:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        head = f"call {call}, {budget:.0f} s, GPU={int(gpu)}, begun {when} UTC"
        record = Record(out, Path(work), call, head)
        setting = Setting(
            python=os.environ.get("PYTHON") or sys.executable,
            work=work, site=site, packs=folders[0], data=folders[1], gpu=gpu,
        )  # fmt: skip
        session = Session(
            steps_of(call, setting), record, budget, lambda: environment_of(site, call, gpu)
        )
        try:
            session.run()
            last = session.verdict(call)
        except SystemExit:
            last = "next: give back (stopped)"
            raise
        finally:
            session.stop()
            record.end(last)
            print(last, flush=True)
    return int(any(status not in ("0", "ended") for status in session.statuses.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
