"""Shells complete commands, options and choices by the scripts that gpuio prints."""

import shutil
import subprocess

import pytest

from gpuio.tools import cli

ASK = 'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _gpuio; echo "${COMPREPLY[@]}"'


@pytest.fixture
def script(tmp_path, capsys):
    def made(shell):
        assert cli.main(["completion", shell]) == 0
        path = tmp_path / f"gpuio.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return made


def lines_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_bash_completes(script, tmp_path):
    path = script("bash")

    def ask(*words):
        return lines_of("bash", "-c", f"source {path}; set -- {' '.join(words)}; {ASK}")[0].split()

    assert ask("gpuio", "ver") == ["verify"]
    assert set(cli.COMMANDS) < set(ask("gpuio", "''"))
    assert ask("gpuio", "ls", "--co") == ["--count"]
    assert ask("gpuio", "im2rec", "--encoding", "''") == [".jpg", ".png"]
    assert "ImageIter" in ask("gpuio", "options", "Image")
    assert ask("gpuio", "completion", "f") == ["fish"]
    (tmp_path / "one.rec").touch()
    assert ask("gpuio", "ls", str(tmp_path / "one")) == [str(tmp_path / "one.rec")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_every_command_and_option_and_is_read_by_its_shell(script, shell):
    path = script(shell)
    text = path.read_text()
    for name in cli.COMMANDS:
        parser, _ = cli.command_parser(name)
        for action in parser._actions:
            for option in action.option_strings:
                bare = option.lstrip("-")
                spelt = {"fish": f"-l {bare}" if option[:2] == "--" else f"-s {bare}"}
                assert spelt.get(shell, option) in text, (name, option)
    if shutil.which(shell):
        assert lines_of(shell, "-n", str(path)) == []


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes(script):
    path = script("fish")
    said = lines_of("fish", "-c", f"source {path}; complete -C 'gpuio ls --co'")
    assert [line.split("\t")[0] for line in said] == ["--count"]
