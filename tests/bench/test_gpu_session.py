"""The two calls on a machine with a GPU: their steps, their limits, and what they leave behind."""

import importlib
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
PREPARED = ["install", "compile", "compile_cuda", "imports", "doctor"]
FIRST = ["order", "bits", "pixels", "rates", "host", "iterators"]
FIRST += ["shares", "kernels", "handoff", "arrays", "tests"]
SECOND = ["pipelines", "rates_of_dali", "tests_of_dali", "soak", "sanitizer"]


@pytest.fixture
def part(monkeypatch):
    """Import a module of bench/ by name, as its scripts do."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module
    for name in ("gpu_session", "gpu_steps", "gpu_install", "gpu_carry", "gpu_compile"):
        sys.modules.pop(name, None)


@pytest.fixture
def steps(part, tmp_path):
    def made(call, gpu=True, data=tmp_path):
        at = part("gpu_steps").Setting("python3", tmp_path, tmp_path, tmp_path, data, gpu)
        return part("gpu_steps").steps_of(call, at)

    return made


def test_steps_stand_in_the_order_of_their_worth(steps):
    assert [step.name for step in steps("first")] == PREPARED + FIRST
    assert [step.name for step in steps("second")] == PREPARED + SECOND
    assert [step.name for step in steps("short")] == PREPARED + FIRST[:6]
    assert [step.name for step in steps("short", data=None)][3] == "data"


@pytest.mark.parametrize("call", ["first", "second", "short"])
def test_a_step_names_what_is_there_and_toys_are_for_the_cpu(steps, call):
    for gpu in (True, False):
        for step in steps(call, gpu):
            scripts = [word for word in step.command if word.endswith(".py")]
            assert all((BENCH.parent / name).exists() for name in scripts)
            measures = "--out" in step.command
            assert ("--toy" in step.command) == ("--cpu" in step.command) == (
                measures and not gpu
            ) or step.name == "imports"
    assert {step.name for step in steps(call) if step.beside} == {"compile", "compile_cuda"}


def test_no_step_can_take_the_seconds_of_those_behind_it(part, steps):
    """Were each step to take all that it may, the last one would still be begun."""
    session = part("gpu_session")
    for call, budget in part("gpu_steps").BUDGETS.items():
        left, own = budget, [step.seconds for step in steps(call) if not step.beside]
        for k, seconds in enumerate(own):
            limit = session.limit_of(seconds, own[k + 1 :], left)
            assert limit >= min(seconds, session.RESERVE)
            left -= limit
        assert left >= 0
    assert session.limit_of(10, [20, 20], 200) == 20
    assert session.limit_of(10, [20, 20], 46) == 10
    assert session.limit_of(10, [20, 20], 17) == 5
    assert session.limit_of(10, [20, 20], 12) < 1


@pytest.fixture
def call(tmp_path):
    """Start a call with a stand-in for python; return the process, whose steps it writes down."""
    python, out = tmp_path / "python", tmp_path / "out"
    (tmp_path / "data").mkdir()

    def started(behaviour, name="first", **environment):
        python.write_text(
            f'#!/bin/sh\necho "$*" >>{tmp_path}/called.txt\ncase "$*" in {behaviour} esac\n'
            'while [ $# -gt 0 ]; do [ "$1" != --out ] || echo "{}" >"$2"; shift; done\n'
            'echo "said by the step"\n'
        )
        python.chmod(0o755)
        command = [sys.executable, BENCH / "gpu_session.py", name, "", tmp_path / "data"]
        paths = {"OUT": str(out), "PYTHON": str(python), "SITE": str(tmp_path / "site")}
        return subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], **paths, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return started


def left_by(out, name="first"):
    """Return the lines of steps.txt as {name: status}, the last line, and the archive's files."""
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".half") == sorted(
        ["steps.txt", f"{name}.tar.gz"]
    )
    _, _, *lines = (out / "steps.txt").read_text().splitlines()
    with tarfile.open(out / f"{name}.tar.gz") as archive:
        files = {
            Path(member.name).name: archive.extractfile(member).read().decode()
            for member in archive.getmembers()
        }
    rows = [line.split() for line in lines if not line.startswith("next")]
    return {row[0]: row[1] for row in rows}, lines[-1], files


def test_a_step_that_fails_stops_nothing_and_all_is_in_the_archive(call, tmp_path):
    process = call("*'nvimgcodec and random'*) exit 5;; *gpu_host*) exit 3;;")
    said, errors = process.communicate()
    assert process.returncode == 1, errors
    statuses, last, files = left_by(tmp_path / "out")
    failed = {"bits": "5", "host": "3"}
    assert statuses == dict.fromkeys(PREPARED[1:] + FIRST, "0") | failed
    assert last == said.splitlines()[-1] == "next: second"
    measured = {"order", "pixels", "rates", "iterators", "shares", "kernels", "arrays"}
    assert {name for name in files if name.endswith(".json")} == {f"{m}.json" for m in measured}
    assert {name for name in files if name.endswith(".txt")} == {f"{s}.txt" for s in statuses}
    assert all("said by the step" in files[f"{name}.txt"] for name in measured)


@pytest.mark.parametrize(("name", "broken"), [("first", True), ("short", False), ("second", False)])
def test_the_last_line_alone_decides_what_comes_next(call, tmp_path, name, broken):
    process = call("*gpuio.tools.doctor*) exit 1;;" if broken else "none) ;;", name)
    assert process.communicate()[0].splitlines()[-1] == (
        "next: give back (doctor failed)" if broken else "next: give back"
    )
    assert process.returncode == broken
    assert left_by(tmp_path / "out", name)[1].startswith("next: give back")


def test_without_a_gpu_a_doctor_that_finds_none_is_no_failure(call, tmp_path):
    process = call("*gpuio.tools.doctor*) exit 1;;", GPU="0")
    assert process.communicate()[0].splitlines()[-1] == "next: second"
    assert process.returncode == 0
    assert "--toy --cpu" in (tmp_path / "called.txt").read_text()


def until(condition):
    ends = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_call_that_is_killed_leaves_what_has_ended(call, tmp_path, how):
    pid = tmp_path / "pid.txt"
    process = call(f"*'--part rates'*) echo $$ >{pid}; exec sleep 600;;")
    until(lambda: pid.exists() and pid.read_text().endswith("\n"))
    process.send_signal(how)
    process.communicate()
    statuses, last, files = left_by(tmp_path / "out")
    if how == signal.SIGKILL:
        assert statuses["rates"] == "running"
        os.kill(int(pid.read_text()), signal.SIGKILL)  # its own limit would have ended it
    else:
        assert process.returncode == 128 + signal.SIGTERM
        assert statuses["rates"] == "ended"
        assert last == "next: give back (stopped)"
        until(lambda: not Path(f"/proc/{int(pid.read_text())}").exists())
    assert all(f"{name}.json" in files for name in ("order", "pixels"))
    assert statuses["order"] == statuses["bits"] == statuses["pixels"] == "0"
    assert "host" not in statuses


def test_a_step_that_hangs_is_cut_and_what_runs_beside_is_ended(part, tmp_path):
    """A step that cannot even be started costs nothing, either."""
    session, step = part("gpu_session"), part("gpu_steps").Step
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    record = session.Record(out, work, "first", "head")
    made = [
        step("beside", 60, ("sleep", "600"), beside=True),
        step("hangs", 3, ("sh", "-c", "echo begun; sleep 600")),
        step("crashes", 60, ("sh", "-c", "kill -SEGV $$")),
        step("missing", 60, ("no-such-command",)),
        step("last", 60, ("echo", "here")),
    ]
    running = session.Session(made, record, 400, lambda: dict(os.environ))
    running.run()
    record.end("next: nothing")
    statuses, _, files = left_by(out)
    assert statuses == {
        "beside": "ended", "hangs": "cut", "crashes": "139", "missing": "127", "last": "0",
    }  # fmt: skip
    assert files["hangs.txt"].endswith("begun\n")


def test_a_file_that_goes_and_a_folder_that_is_full_stop_no_step(part, tmp_path, capsys):
    """A step that runs replaces its files while the archive is written for another one."""

    class Work:
        def iterdir(self):
            return [tmp_path / "gone.json", tmp_path / "new.json.half", tmp_path / "there.txt"]

    (tmp_path / "there.txt").write_text("said")
    (tmp_path / "new.json.half").write_text("{")
    record = part("gpu_session").Record(tmp_path / "out", Work(), "first", "head")
    record.note("one", "0")
    assert left_by(tmp_path / "out") == ({"one": "0"}, "one           0", {"there.txt": "said"})
    record.out = tmp_path / "no folder"
    record.note("two", "0")
    assert capsys.readouterr().out.count("is not written") == 2


def test_a_budget_that_is_used_up_is_said_of_each_step(call, tmp_path):
    process = call("none) ;;", BUDGET="2")
    process.communicate()
    statuses, last, _ = left_by(tmp_path / "out")
    assert {statuses[name] for name in FIRST} == {"not-begun"}
    assert process.returncode == 1
    assert last == "next: give back (imports, doctor failed)"


@pytest.fixture
def packs(part, tmp_path, monkeypatch):
    """Return a folder of packs, what was run, and what fails."""
    install = part("gpu_install")
    folder, ran, failing = tmp_path / "packs", [], set()
    folder.mkdir()
    for name in ("gpu-dali-a90.tar.xz.00", "gpu-nvic.tar.xz.00", "gpu-nvic.tar.xz.01", "b.whl"):
        (folder / name).touch()

    def run(*command):
        words = [Path(word).name for word in map(str, command)]
        ran.append(words[-1] if words[0] == "bash" else [w for w in words if w.endswith("whl")])
        there = Path(command[-2]) if words[0] == "bash" else None
        if there:
            (there / "nvidia").mkdir()
        return "broken" if set(words) & failing else ""

    monkeypatch.setattr(install, "_run", run)
    return folder, ran, failing


def names_of(folders):
    return [Path(folder).name.replace("wheels-", "wheels ").split()[0] for folder in folders]


def test_a_pack_that_fails_costs_only_itself_and_dali_comes_last(part, packs, tmp_path):
    folder, ran, failing = packs
    install, site = part("gpu_install"), tmp_path / "site"
    failing.update({"b.whl", "gpu-dali-a90.tar.xz"})
    (folder / "a.whl").touch()
    failed = install.install(site, folder)
    assert ran == [
        ["a.whl", "b.whl"],
        ["a.whl"],
        ["b.whl"],
        "gpu-nvic.tar.xz",
        "gpu-dali-a90.tar.xz",
    ]
    assert [name for name, why in failed.items() if why] == ["b.whl", "gpu-dali-a90.tar.xz"]
    assert names_of(install.search_path(site, True)) == ["gpu-nvic", "wheels"]
    assert "extend_path" in (site / "gpu-nvic/nvidia/__init__.py").read_text()
    assert not (site / "gpu-dali-a90").exists()


def test_what_the_other_call_installed_stays_and_what_is_gone_is_installed_again(
    part, packs, tmp_path
):
    folder, ran, failing = packs
    install, site = part("gpu_install"), tmp_path / "site"
    failing.add("gpu-dali-a90.tar.xz")
    install.install(site, folder)
    failing.clear()
    del ran[:]
    assert not any(install.install(site, folder).values())
    assert ran == ["gpu-dali-a90.tar.xz"]  # what failed is tried again
    with_dali = names_of(install.search_path(site, True))
    assert with_dali == ["gpu-dali-a90", "gpu-nvic", "wheels"]
    assert names_of(install.search_path(site, False)) == with_dali[1:]
    (site / "gpu-nvic" / "installed.txt").unlink()
    del ran[:]
    install.install(site, folder)
    assert ran == ["gpu-nvic.tar.xz"]


def test_pictures_to_carry_are_counted_and_made_once(part, tmp_path):
    carry = part("gpu_carry").carry
    source = tmp_path / "source"
    source.mkdir()
    for k in range(6):
        (source / f"{k}.JPEG").write_bytes(bytes([k]) * 10)
    data = tmp_path / "data"
    size = carry(data, source, photos=3, faces=4)
    taken = [path.read_bytes()[:1] for path in sorted((data / "photos").iterdir())]
    assert taken == [b"\0", b"\2", b"\4"]
    faces = sorted((data / "faces").iterdir())
    assert len(faces) == 4
    assert size == 30 + sum(path.stat().st_size for path in faces)
    before = [path.stat().st_mtime_ns for path in faces]
    carry(data, source, photos=3, faces=4)
    assert [path.stat().st_mtime_ns for path in faces] == before


def test_the_shell_takes_the_python_that_is_asked_for(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python)}
    command = ["sh", BENCH / "gpu_session.sh", "second", "p q", "d"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("gpu_session.py second p q d\n")


def test_compilations_are_shared_by_processes_and_one_that_fails_costs_only_itself(
    part, monkeypatch, capfd
):
    compile_all = part("gpu_compile")
    monkeypatch.setattr(compile_all.os, "sched_getaffinity", lambda pid: set(range(6)))
    monkeypatch.setattr(compile_all.os, "nice", lambda more: 0)
    monkeypatch.setattr(compile_all, "modules", lambda: ["json", "no_such_module", "csv", "bz2"])
    assert compile_all.main([]) == 1
    lines = sorted(line.split()[0] for line in capfd.readouterr().out.splitlines())
    assert lines == ["bz2", "csv", "json", "no_such_module:"]


def test_every_kernel_that_is_compiled_beforehand_has_a_source(part):
    from gpuio.kernels.cuda.compile import source

    assert all(source(name).startswith("#define ONE_KERNEL") for name in part("gpu_compile").CUDA)
