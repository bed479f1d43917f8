"""Carry out the steps of a Dockerfile in a clean folder, without a daemon.

    python scripts/docker_steps.py docker/Dockerfile.cpu [--python python3.12] [--rehearse]

The context is what git holds of the clone, without what the .dockerignore beside the Dockerfile
leaves out. COPY copies from it. RUN goes to the shell, a new environment's programs in front, every
absolute path below one folder. CMD is run as the last USER. The base image is named, not fetched,
and `useradd` makes no user. With --rehearse nothing is fetched and no kernel is compiled: what
gpuio requires is taken from the running environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_ABSOLUTE = re.compile(r"(?<![\w./$}])/(?=[a-z])")  # the first slash of an absolute path
_BASE = re.compile(r"python:(3\.\d+)-slim")
_USERADD = re.compile(r"--create-home --uid ([1-9]\d{3,}) ([a-z]+)")
_CUDA = re.compile(r"\[\$\{?EXTRA\}?,")  # libraries of several GB: they are resolved, not fetched


class StepError(Exception):
    """A step of a Dockerfile fails, or has a form that is not known here."""


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile: name and arguments, lines joined."""
    lines = [one for one in dockerfile.read_text().splitlines() if not one.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    split = [one.split(None, 1) for one in whole.splitlines() if one.strip()]
    return [(name, " ".join(rest.split())) for name, rest in split]


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether a .dockerignore's lines leave a path out: the last one that fits it decides."""
    parts, out = path.split("/"), False
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for pattern in patterns:
        text = re.escape(pattern.lstrip("!").strip("/")).replace(r"\*\*/", "(.*/)?")
        form = re.compile(text.replace(r"\*", "[^/]*"))
        if any(form.fullmatch(one) for one in above):
            out = not pattern.startswith("!")
    return out


def context(dockerfile: Path, root: Path = ROOT) -> list[str]:
    """Return the files and links that a build gets to see."""
    given = dockerfile.with_name(dockerfile.name + ".dockerignore").read_text().splitlines()
    patterns = [one.strip() for one in given if one.strip() and not one.startswith("#")]
    asked = ["git", "ls-files"]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    listed = done.stdout.splitlines()
    if done.returncode:  # an archive's tree
        listed = [one.relative_to(root).as_posix() for one in root.rglob("*") if one.is_file()]
    return [one for one in listed if not ignored(one, patterns)]


class Build:
    """One Dockerfile's steps, carried out below a folder.

    Parameters
    ----------
    dockerfile : Path
    place : Path            empty; gets `image`, which stands for /, and the environment
    python : str            the interpreter that stands for the base image's
    rehearse : bool         nothing is fetched and no kernel is compiled
    """

    def __init__(self, dockerfile: Path, place: Path, python: str, *, rehearse: bool) -> None:
        self.dockerfile, self.place, self.rehearse = dockerfile, place, rehearse
        self.image, self.venv, self.bin = place / "image", place / "venv", place / "bin"
        self.files = context(dockerfile)
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ},
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            "PATH": f"{self.bin}:{self.venv / 'bin'}:/usr/bin:/bin",
        }
        self.user = ""
        self.cwd = self.image
        self.image.mkdir()
        self._environment(python)

    def _environment(self, python: str) -> None:
        """Make the environment, and the programs that stand for others."""
        self.bin.mkdir()
        real = self.venv / "bin"
        if self.rehearse:
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.venv], check=True)
            site = next((self.venv / "lib").glob("python*/site-packages"))
            here = next(one for one in sys.path if one.endswith("site-packages"))
            (site / "requirements.pth").write_text(here + "\n")
            links = [one for one in Path(here).glob("*.pth") if one.name == "shared.pth"]
            (site / "more.pth").write_text("".join(one.read_text() for one in links))
            pip = f"{sys.executable} -m pip --python {real / 'python'}"
            self._program(
                "pip", f'exec {pip} "$@" --no-deps --no-index --no-build-isolation --quiet'
            )
            warmup = f'case "$1" in warmup) exec {real / "gpuio"} warmup --help;; esac'
            self._program("gpuio", f'{warmup}\nexec {real / "gpuio"} "$@"')
        else:
            subprocess.run([python, "-m", "venv", self.venv], check=True)
        self._program("useradd", f'echo "$@" >> {self.place / "users"}')
        self._program("apt-get", "exit 0")

    def _program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)

    def below(self, text: str) -> str:
        """Return a text with its absolute paths below the folder that stands for /."""
        return _ABSOLUTE.sub(f"{self.image}/", text)

    def run(self) -> Iterator[str]:
        """Carry the steps out; yield what was done for each.

        Raises
        ------
        StepError           a step fails
        """
        for name, rest in steps(self.dockerfile):
            step = getattr(self, f"do_{name.lower()}", None)
            if step is None:
                raise StepError(f"{name} {rest}: not known here")
            yield f"{name} {rest}: {step(rest)}"

    def do_from(self, rest: str) -> str:
        """Check the base image's name."""
        found = _BASE.fullmatch(rest)
        offered = (ROOT / "pyproject.toml").read_text()
        if found is None or f"Python :: {found[1]}" not in offered:
            raise StepError(f"FROM {rest}: expected an image of a Python that gpuio supports")
        return "checked by its name"

    def do_arg(self, rest: str) -> str:
        """Set a build argument's default."""
        name, _, value = rest.partition("=")
        self.environment[name] = value
        return "set"

    def do_env(self, rest: str) -> str:
        """Set variables."""
        for one in shlex.split(rest):
            name, _, value = one.partition("=")
            self.environment[name] = self.below(value)
        return "set"

    def do_copy(self, rest: str) -> str:
        """Copy from the context."""
        *sources, target = rest.split()
        count = 0
        for source in sources:
            inside = [one for one in self.files if one == source or one.startswith(f"{source}/")]
            if not inside:
                raise StepError(f"COPY {rest}: {source} is not in the build's context")
            for one in inside:
                to = Path(self.below(target)) / (one if len(sources) > 1 else "")
                if len(sources) == 1 and one != source:
                    to = Path(self.below(target)) / one.removeprefix(f"{source}/")
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / one, to, follow_symlinks=False)
                count += 1
        return f"{count} files"

    def do_run(self, rest: str) -> str:
        """Run commands in the shell, as one."""
        told = "run"
        if _CUDA.search(rest) and not self.rehearse:  # what they need is found for this Python
            wanted = next(one for one in rest.split("&&") if _CUDA.search(one))
            self._shell(wanted.replace("pip install", "pip install --dry-run --quiet"), rest)
            rest, told = _CUDA.sub("[", rest), "run; the CUDA libraries resolved, not fetched"
        self._shell(rest, rest)
        return told

    def do_user(self, rest: str) -> str:
        """Check that an earlier step made the user."""
        users = self.place / "users"
        made = users.read_text().splitlines() if users.exists() else []
        if rest not in [found[2] for one in made if (found := _USERADD.fullmatch(one))]:
            raise StepError(f"USER {rest}: no step makes it: {made}")
        self.user = rest
        return "made by an earlier step"

    def do_workdir(self, rest: str) -> str:
        """Make the folder, and go there."""
        self.cwd = Path(self.below(rest))
        self.cwd.mkdir(parents=True, exist_ok=True)
        return "made"

    def do_cmd(self, rest: str) -> str:
        """Run what a container runs, as its user, who finds the kernels compiled."""
        command = shlex.join(json.loads(rest))
        gpu = "--gpu" in json.loads(rest)  # without one it says so, and ends with 1
        self._shell(command, rest, also=1 if gpu else 0, as_user=True)
        if not self.rehearse:
            told = json.loads(self._shell("gpuio warmup --json", rest, as_user=True))
            if told["compiled"]:
                raise StepError(f"the user {self.user} compiles {told['compiled']} kernels anew")
        return "run as the user"

    def _shell(self, text: str, step: str, *, also: int = 0, as_user: bool = False) -> str:
        """Run a shell's text; as a user who owns nothing: root is denied what others are."""
        command = ["sh", "-ec", self.below(text)]
        if as_user:
            self.environment["HOME"] = str(self.place / "home")
            (self.place / "home").mkdir(exist_ok=True)
            for folder in [self.venv, *(one for one in self.venv.rglob("*") if one.is_dir())]:
                folder.chmod(folder.stat().st_mode & ~0o222)
            if os.getuid() == 0 and shutil.which("setpriv"):
                denied = "-dac_override,-dac_read_search,-fowner"
                command = ["setpriv", f"--bounding-set={denied}", f"--inh-caps={denied}", *command]
        done = subprocess.run(
            command, cwd=self.cwd, env=self.environment, capture_output=True, text=True, check=False
        )
        if as_user:
            for folder in [self.venv, *(one for one in self.venv.rglob("*") if one.is_dir())]:
                folder.chmod(folder.stat().st_mode | 0o200)
        if done.returncode not in (0, also):
            raise StepError(f"{step}: {text}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout


def main() -> None:
    """Carry out the steps of one Dockerfile, or of several."""
    form = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    form.add_argument("dockerfiles", type=Path, nargs="+", metavar="DOCKERFILE")
    form.add_argument("--python", default=sys.executable, help="stands for the base image's")
    form.add_argument("--rehearse", action="store_true", help="fetch and compile nothing")
    args = form.parse_args()
    for dockerfile in args.dockerfiles:
        with tempfile.TemporaryDirectory(prefix="gpuio-image-") as name:
            build = Build(dockerfile, Path(name), args.python, rehearse=args.rehearse)
            for told in build.run():
                print(f"{dockerfile.name}: {told}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except StepError as error:
        sys.exit(f"docker steps: {error}")
