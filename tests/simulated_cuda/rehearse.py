"""The GPU's tests and benchmarks on the simulated CUDA: all of `make rehearsal`, two at a time.

    python tests/simulated_cuda/rehearse.py [--seed N] [--jobs N] [--out FOLDER] [STEP ...]

First everything that compiles (the CPU's kernels, the simulator, the kernels for the host, the
kernels for the GPU), so that nothing is compiled twice; then the tests, and beside them those of
host_share in real time; then the benchmarks, as many at once as there are cores. What a step prints
lies in FOLDER; of one that fails it is shown, and the others go on. The exit status is 1 if one
failed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARES = "tests/simulated_cuda/test_shares.py"  # sleeps most of the time
TESTS = ("tests/backend", "tests/simulated_cuda", "tests/io/test_record_cache.py")
SCRIPTS = ("gpu", "gpu_soak", "gpu_pixels", "gpu_kernels", "gpu_order", "gpu_host", "gpu_arrays")
_SHOWN = 60  # lines of a step that failed


def steps_of(jobs):
    """Return the steps in phases, {name: command} each: what is in one may run at once."""
    sys.path.insert(0, str(ROOT / "bench"))
    from gpu_compile import CUDA

    python = sys.executable

    def simulated(*words):
        return (python, str(HERE / "run.py"), *words)

    compiled = {
        "compile": (python, "-m", "gpuio", "warmup", "--quiet"),
        "compile_cuda": simulated("bench/gpu_compile.py", "--cuda", *CUDA),
    }
    pytest = (python, "-m", "pytest", "-m", "gpu or simulated")
    tests = {
        "tests": (*pytest, "-n", str(jobs), "--dist", "worksteal", "--durations", "15", *TESTS),
        "host_share": (*pytest, "-s", SHARES),
    }
    tests["tests"] += ("--ignore", SHARES)
    scripts = {name: simulated(f"bench/{name}.py", "--toy") for name in SCRIPTS}
    scripts["shares"] = simulated("bench/gpu.py", "--part", "shares", "--toy")
    return [compiled, tests, scripts]


def run(name, command, environment, out):
    """Run a step to its end; say how it went, and return whether it went well."""
    log, begun = out / f"{name}.txt", time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    took, cpu = time.monotonic() - begun, used.ru_utime + used.ru_stime
    lines = log.read_text(errors="replace").splitlines()
    last = lines[-1:] if "pytest" in command else []
    print(f"{name:<14}{code:>4} {took:6.1f} s {cpu:6.1f} s of CPU", *last, sep="  ", flush=True)
    if code:
        print(*lines[-_SHOWN:], sep="\n", flush=True)
    return code == 0


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("steps", nargs="*", help="only these; default: all")
    parser.add_argument("--seed", default=time.strftime("%j%H%M"), help="of delays and pictures")
    parser.add_argument("--jobs", type=int, default=cores, help="default: the cores")
    parser.add_argument("--out", help="keep what the steps print in this folder")
    args = parser.parse_args(argv)
    environment = {
        **os.environ,
        "GPUIO_SIMULATED_CUDA": "1",
        "GPUIO_REHEARSAL_SEED": str(args.seed),
        # once for all steps, and gone with the environment
        "CUPY_CACHE_DIR": str(Path(sys.prefix) / "kernel_cache"),
    }
    print(f"GPUIO_REHEARSAL_SEED={args.seed}", flush=True)
    begun, good = time.monotonic(), True
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as name:
        out = Path(args.out or name)
        out.mkdir(parents=True, exist_ok=True)
        for phase in steps_of(args.jobs):
            wanted = {k: v for k, v in phase.items() if not args.steps or k in args.steps}
            with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
                ended = [pool.submit(run, *step, environment, out) for step in wanted.items()]
                good &= all(each.result() for each in ended)
    print(f"{'all':<14}{int(not good):>4} {time.monotonic() - begun:6.1f} s")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
