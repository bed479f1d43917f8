"""The steps of each call, in the order of their worth, with the seconds that each may take.

The sum of the limits is larger than the budget: what a step leaves over goes to those behind it,
and each of those is left some seconds whatever the ones before it do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BUDGETS = {"first": 200, "second": 250, "short": 140}
NEEDED = ("imports", "doctor")  # without these nothing more is to be expected of this machine
LAST_OF_SHORT = "iterators"

_BITS = "random_plans and 70 and not bfloat16"
_HANDOFF = "torch or tensors or interface"
_SANITIZER = """
command -v compute-sanitizer || { echo 'not installed here: compute-sanitizer'; exit 0; }
for tool in memcheck racecheck; do
  timeout {half} compute-sanitizer --tool $tool --error-exitcode 9 "$@" || status=$?
done
exit ${status:-0}"""


@dataclass(frozen=True)
class Step:
    """One command of a call.

    Attributes
    ----------
    name : str              also of its files in the archive: NAME.txt, and NAME.json if it has one
    seconds : float         that it may take
    command : tuple of str
    beside : bool           whether the next step begins at once
    good : tuple of int     exit statuses that are no failure
    """

    name: str
    seconds: float
    command: tuple[str, ...]
    beside: bool = False
    good: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Setting:
    """What the commands depend on.

    Attributes
    ----------
    python : str
    work : Path             folder for results
    site : Path             folder for what is installed and made, kept for the other call
    packs, data : Path or None
    gpu : bool              False: toy size, on the CPU
    """

    python: str
    work: Path
    site: Path
    packs: Path | None
    data: Path | None
    gpu: bool

    def script(self, name, seconds, script, *options, **how):
        """Return a step that runs one of our scripts."""
        words = (self.python, "-X", "faulthandler", f"bench/{script}.py", *map(str, options))
        return Step(name, seconds, words, **how)

    def bench(self, name, seconds, script, *options, measured=None):
        """Return a step that measures; it writes NAME.json as it goes.

        `measured` is how long it goes on beginning something new.
        """
        data = self.data or Path(self.site) / "data"
        words = ["--images", f"{data}/photos", "--faces", f"{data}/faces"]
        words += [] if self.gpu else ["--toy", "--cpu"]
        words += [] if measured is None else ["--seconds", measured]
        out = f"{self.work}/{name}.json"
        return self.script(name, seconds, script, *words, *options, "--out", out)

    def tests(self, name, seconds, which, folder="tests/backend"):
        """Return a step that runs the GPU's tests of these names."""
        return Step(
            name, seconds, (self.python, "-X", "faulthandler", *_pytest(which, folder, "-v"))
        )


def _pytest(which, folder, verbose):
    return (
        "-m", "pytest", "-m", "gpu", verbose, "-k", which, "-p", "no:cacheprovider",
        "--continue-on-collection-errors", "-o", "filterwarnings=default", folder,
    )  # fmt: skip


def steps_of(call, at):
    """Return the steps of a call.

    Parameters
    ----------
    call : {"first", "second", "short"}
    at : Setting

    Returns
    -------
    list of Step
    """
    made = _second(at) if call == "second" else _first(at)
    if call == "short":
        names = [step.name for step in made]
        made = made[: names.index(LAST_OF_SHORT) + 1]
    return [*_preparation(at, call), *made]


def _preparation(at, call):
    """Return what comes before anything is measured."""
    made = []
    if at.packs is not None:
        seconds = 60 if call == "second" else 30
        made.append(at.script("install", seconds, "gpu_install", at.site, at.packs))
    # tests compare with the CPU's kernels
    made.append(at.script("compile", 150, "gpu_compile", beside=True))
    made.append(at.script("compile_cuda", 60, "gpu_compile", "--cuda", beside=True))
    if at.data is None:
        made.append(at.script("data", 25, "gpu_carry", Path(at.site) / "data"))
    made.append(at.script("imports", 20, "gpu_imports", *([] if at.gpu else ["--cpu"])))
    doctor = (at.python, "-m", "gpuio.tools.doctor", "--gpu", "--json")
    # the doctor ends with 1 where a GPU cannot be used
    made.append(Step("doctor", 15, doctor, good=(0,) if at.gpu else (0, 1)))
    return made


def _first(at):
    """Return what needs nvImageCodec alone."""
    rest = f"not dali and not ({_BITS}) and not ({_HANDOFF})"
    few = ("--rounds", 2)
    small = (*few, "--images-per-epoch", 2048)
    return [
        at.bench("order", 15, "gpu_order"),
        at.tests("bits", 35, f"nvimgcodec and {_BITS}", "tests/backend/gpu/test_device.py"),
        at.bench("pixels", 20, "gpu_pixels"),
        at.bench("rates", 45, "gpu", "--part", "rates", *small, measured=38),
        at.bench("host", 20, "gpu_host"),
        at.bench(LAST_OF_SHORT, 30, "gpu", "--part", "iterators", *few, measured=24),
        at.bench("shares", 30, "gpu", "--part", "shares", *few, measured=24),
        at.bench("kernels", 20, "gpu_kernels"),
        at.tests("handoff", 25, f"not dali and ({_HANDOFF})"),
        at.bench("arrays", 10, "gpu_arrays"),
        at.tests("tests", 30, rest),
    ]


def _second(at):
    """Return what needs DALI, and what takes long."""
    half = 30
    checked = (
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-q",
        "-k",
        f"nvimgcodec and NCHW and float16 and {_BITS}",
    )
    checked += ("-p", "no:cacheprovider", "-o", "filterwarnings=default")
    sanitizer = ("sh", "-c", _SANITIZER.replace("{half}", str(half)), "sh", at.python, *checked)
    return [
        at.bench("pipelines", 60, "gpu", "--part", "pipelines", "--rounds", 2, measured=50),
        at.bench("rates_of_dali", 35, "gpu", "--part", "dali", "--rounds", 2, measured=28),
        at.tests("tests_of_dali", 50, "dali"),
        at.bench("soak", 50, "gpu_soak", measured=15),
        Step("sanitizer", 2 * half + 5, (*sanitizer, "tests/backend/gpu/test_device.py")),
    ]
