"""completion: a script that makes bash, zsh or fish complete gpuio's commands, options and choices.

The script is made once, from the parsers, and starts no Python when a key is pressed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from gpuio.tools import cli
from gpuio.tools.declared import ITERATORS

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    'eval "$(gpuio completion bash)"',
    "gpuio completion zsh > ~/.zfunc/_gpuio",
    "gpuio completion fish > ~/.config/fish/completions/gpuio.fish",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell that reads it")


def run(args: argparse.Namespace) -> int:
    """Print the script; return 0."""
    commands = {
        name: (what, cli.command_parser(name)[0]) for name, (_, what) in cli.COMMANDS.items()
    }
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](commands), end="")
    return 0


_Commands = Mapping[str, tuple[str, argparse.ArgumentParser]]


def _options(parser: argparse.ArgumentParser) -> list[tuple[str, list[str], bool, str]]:
    """Return (spelling, choices, whether a value follows, help) of each option."""
    return [
        (name, [str(one) for one in action.choices or ()], action.nargs != 0, action.help or "")
        for action in parser._actions  # noqa: SLF001 -- argparse has no other way to list them
        for name in action.option_strings
    ]


def _words(name: str, parser: argparse.ArgumentParser) -> list[str]:
    """Return what may stand where a command takes arguments that are not paths."""
    if name == "options":
        return list(ITERATORS)
    return [
        str(one)
        for action in parser._actions  # noqa: SLF001
        if not action.option_strings
        for one in action.choices or ()
    ]


def _bash(commands: _Commands) -> str:
    lines = [
        "# bash completion of gpuio",
        "_gpuio() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local options="" words=""',
        "    COMPREPLY=()",
        "    if [ $COMP_CWORD -eq 1 ]; then",
        f'        words="{" ".join(commands)} help --version --help"',
        '        COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "        return",
        "    fi",
        '    case "${COMP_WORDS[1]}" in',
    ]
    for name, (_, parser) in commands.items():
        options = _options(parser)
        lines.append(f"    {name})")
        chosen = [one for one in options if one[1]]
        if chosen:
            lines.append('        case "$before" in')
            for spelling, choices, _, _ in chosen:
                reply = f'COMPREPLY=($(compgen -W "{" ".join(choices)}" -- "$word"))'
                lines.append(f"        {spelling}) {reply}; return ;;")
            lines.append("        esac")
        lines.append(f'        options="{" ".join(one[0] for one in options)}"')
        lines.append(f'        words="{" ".join(_words(name, parser))}" ;;')
    lines += [
        f'    help) words="{" ".join(commands)}" ;;',
        "    esac",
        '    if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$word"))',
        '    elif [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$word"))',
        '    else COMPREPLY=($(compgen -f -- "$word")); fi',
        "}",
        "complete -o filenames -F _gpuio gpuio",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text between single quotes, as bash, zsh and fish read it."""
    return "'" + text.replace("'", r"'\''") + "'"


def _zsh(commands: _Commands) -> str:
    lines = ["#compdef gpuio", "", "_gpuio() {", "    local -a commands", "    commands=("]
    lines += [f"        {_quoted(f'{name}:{what}')}" for name, (what, _) in commands.items()]
    lines += [
        "        'help:say more of a command'",
        "    )",
        "    if (( CURRENT == 2 )); then _describe command commands; return; fi",
        "    case $words[2] in",
    ]
    for name, (_, parser) in commands.items():
        lines.append(f"    {name}) _arguments \\")
        for spelling, choices, valued, said in _options(parser):
            told = said.replace("[", "(").replace("]", ")").replace(":", r"\:")
            value = (
                f":value:({' '.join(choices)})" if choices else ":value:_files" if valued else ""
            )
            lines.append(f"        {_quoted(f'{spelling}[{told}]{value}')} \\")
        words = _words(name, parser)
        rest = f"({' '.join(words)})" if words else "_files"
        lines.append(f"        {_quoted(f'*:argument:{rest}')} ;;")
    lines += [
        "    help) _describe command commands ;;",
        "    esac",
        "}",
        "",
        # as a file of $fpath the body is the function; after eval it has to be registered
        'if [ "$funcstack[1]" = "_gpuio" ]; then _gpuio "$@"; else compdef _gpuio gpuio; fi',
    ]
    return "\n".join(lines) + "\n"


def _fish(commands: _Commands) -> str:
    lines = ["# fish completion of gpuio"]
    for name, (what, _) in commands.items():
        lines.append(f"complete -c gpuio -n __fish_use_subcommand -f -a {name} -d {_quoted(what)}")
    lines.append("complete -c gpuio -n __fish_use_subcommand -f -a help -d 'say more of a command'")
    for name, (_, parser) in commands.items():
        seen = f"complete -c gpuio -n '__fish_seen_subcommand_from {name}'"
        for spelling, choices, valued, said in _options(parser):
            kind = "-l" if spelling.startswith("--") else "-s"
            value = f" -x -a {_quoted(' '.join(choices))}" if choices else " -r" * valued
            lines.append(f"{seen} {kind} {spelling.lstrip('-')}{value} -d {_quoted(said)}")
        words = _words(name, parser)
        if words:
            lines.append(f"{seen} -f -a {_quoted(' '.join(words))}")
    lines.append(
        f"complete -c gpuio -n '__fish_seen_subcommand_from help' -f -a "
        f"{_quoted(' '.join(commands))}"
    )
    return "\n".join(lines) + "\n"
