"""The command line as a whole: its list, help, versions, suggestions, errors, Ctrl-C."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gpuio import __version__
from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.tools import cli, progress
from support.making import jpeg, photo, write_rec


def run(capsys, *arguments):
    try:
        code = cli.main([str(one) for one in arguments])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_gpuio_alone_lists_its_commands(capsys, words):
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    for name, (_, what) in cli.COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, what] for line in out.splitlines()), (
            f"{name} has no line"
        )
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("word", ["--version", "-V", "version"])
def test_the_version_is_printed(capsys, word):
    assert run(capsys, word) == (0, f"gpuio {__version__}\n", "")


def test_help_of_a_command_is_its_help(capsys):
    asked = run(capsys, "help", "ls")
    assert asked == run(capsys, "ls", "--help")
    assert "--count" in asked[1]


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_help_has_defaults_an_example_and_exit_codes(capsys, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert "examples:\n  " in out, f"{cli.COMMANDS[name][0]} has no EXAMPLES"
    assert "exit codes:\n  0  " in out
    parser, module = cli.command_parser(name)
    for line in module.EXAMPLES:
        assert f"gpuio {name}" in line or name == "checksum", line
    text = " ".join(out.split())
    for action in parser._actions:
        assert action.help, f"{name} {action.dest} is not explained"
        if action.default not in (None, False, True) and action.nargs != 0:
            assert "default" in action.help or "(default: " in text, action.dest
    usage = max(len(line) for line in out.splitlines())
    assert usage <= 80


def test_every_command_speaks_json():
    for name in set(cli.COMMANDS) - {"completion"}:  # whose output is a script
        parser, _ = cli.command_parser(name)
        assert any("--json" in action.option_strings for action in parser._actions), name


def test_examples_parse(monkeypatch):
    for name in cli.COMMANDS:
        parser, module = cli.command_parser(name)
        for line in module.EXAMPLES:
            words = re.split("[|>]", line)[0].split()
            if words[1] == name:
                parser.parse_args(words[2:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inf"], "gpuio: no command inf; did you mean info? (gpuio help lists the commands)\n"),
        (["help", "shwo"], "gpuio: no command shwo; did you mean show?"),
        (["--verison"], "gpuio: no option --verison; did you mean --version?"),
        (["zzz"], "gpuio: no command zzz (gpuio help lists the commands)\n"),
        (["ls"], "gpuio ls: the following arguments are required: FILE (see gpuio ls --help)\n"),
        (["ls", "a", "--cuont=3"], "gpuio ls: unrecognized arguments: --cuont=3; did you mean --c"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_one_line(capsys, words, said):
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(said)


def test_errors_name_gpuio_and_the_command_and_are_json_if_asked_for(tmp_path, capsys):
    missing = tmp_path / "no.rec"
    code, out, err = run(capsys, "info", missing)
    assert (code, out) == (3, "")
    assert err.startswith("gpuio info: cannot open: No such file or directory [path=")
    for name in ("info", "ls"):
        code, out, _ = run(capsys, name, missing, "--json")
        assert code == 3
        told = json.loads(out)
        assert told["exit_code"] == 3
        assert told["error"]["path"] == str(missing)
        assert (told["error"]["command"], told["error"]["type"]) == (name, "MissingFileError")
    for words in (["ls", "--json"], ["ls", "a.rec", "--json", "--first", "-1"]):
        code, out, err = run(capsys, *words)
        told = json.loads(out)
        assert (code, told["exit_code"], told["error"]["command"]) == (2, 2, "ls")
        assert told["error"]["message"] in err
    code, out, _ = run(capsys, "inf", "--json")
    assert (code, "did you mean info?" in json.loads(out)["error"]["message"]) == (2, True)


@pytest.mark.parametrize(
    ("error", "code"), [(StorageError("s"), 3), (OptionError("o"), 2), (FormatError("f"), 1)]
)
def test_an_error_has_its_exit_code(capsys, error, code):
    def fail(args):
        raise error

    assert cli.call("ls", fail, SimpleNamespace()) == code
    assert capsys.readouterr().err == f"gpuio ls: {error}\n"


def test_ctrl_c_is_one_line_that_says_what_to_do(capsys):
    def stop(args):
        raise KeyboardInterrupt

    said = []
    for args in (SimpleNamespace(), SimpleNamespace(resume=False)):
        assert cli.call("im2rec", stop, args) == 130
        said.append(capsys.readouterr().err)
    assert said[0] == "gpuio im2rec: stopped; start it again\n"
    assert said[1] == "gpuio im2rec: stopped; the same command with --resume goes on from here\n"


def test_ctrl_c_in_a_command_that_writes_says_that_no_file_is_half(monkeypatch, capsys):
    from gpuio.tools import rec2idx

    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(rec2idx, "run", stop)
    code, _, err = run(capsys, "rec2idx", "a.rec")
    assert (code, err.count("\n")) == (130, 1)
    assert "stopped; start it again: no file gets its name before it is complete" in err


def test_the_version_loads_no_heavy_package():
    code = (
        "import sys; from gpuio.tools import cli; cli.main(['--version']); cli.main([]);"
        "print(sorted({'numba', 'cv2', 'numpy', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_pipe_closed_early_is_no_error(tmp_path):
    nobody, pipe = os.pipe()
    os.close(nobody)
    done = subprocess.run(
        [sys.executable, "-m", "gpuio"], stdout=pipe, stderr=subprocess.PIPE, check=False
    )
    os.close(pipe)
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_command_that_works_long_spells_progress_the_same(tmp_path, capsys):
    for name in ("checksum", "extract", "im2rec", "info", "ls", "rec2idx", "repair", "verify"):
        parser, _ = cli.command_parser(name)
        options = {one for action in parser._actions for one in action.option_strings}
        assert {"--progress", "--quiet", "-q"} <= options, name
    rec, _ = write_rec(tmp_path, [jpeg(photo(8, 8))])
    for words in (["--quiet"], ["-q"], ["--progress", "none"], ["--progress", "plain"], []):
        assert run(capsys, "verify", rec, *words)[0] == 0


class _Clock:
    """A clock that goes a step at each look."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_progress_is_sparse_lines_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress.time, "monotonic", _Clock(4.0))
    with progress.progress("packing") as advance:
        for done in range(1, 8):
            advance(done, 7)
    assert capsys.readouterr().err == "packing: 3 of 7\npacking: 6 of 7\npacking: 7 of 7\n"
    monkeypatch.setattr(progress.time, "monotonic", _Clock(0.1))
    for how in ("auto", "none"):
        with progress.progress("packing", how) as advance:
            for done in range(1, 8):
                advance(done, 7)
    assert capsys.readouterr().err == ""
    with progress.progress("packing", "plain") as advance:
        advance(7, 7)
    assert capsys.readouterr().err == "packing: 7 of 7\n"


def test_a_bar_comes_after_a_second_on_a_terminal_only(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for step, shown in ((0.01, False), (0.5, True)):
        monkeypatch.setattr(progress.time, "monotonic", _Clock(step))
        with progress.progress("packing [x]") as advance:
            for done in range(1, 8):
                advance(done, 7)
        assert ("packing [x]" in capsys.readouterr().err) == shown
    monkeypatch.setattr(progress.time, "monotonic", _Clock(0.5))
    with progress.progress("listing") as advance:  # beside a bar, what is printed goes its own way
        for done in range(1, 8):
            advance(done, 7)
            sys.stdout.write("a line\n")
    said = capsys.readouterr()
    assert said.out == "a line\n" * 7
    assert "a line" not in said.err
    with progress.progress("outer") as outer, progress.progress("inner") as inner:
        for done in range(1, 8):  # the outer one is not shown yet when the inner one is
            inner(done, 7)
        for done in range(1, 8):
            outer(done, 7)
            inner(done, 7)
    assert "outer" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with progress.progress("listing", prints=True) as advance:
        advance(1, 1)
    assert capsys.readouterr().err == ""
