"""The command line: the commands, and the flags of each."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TextIO

from exporter import PROGRAM, __version__, terminal
from exporter.commands import entry_points, flags
from exporter.commands.entry_points import Exit
from exporter.held_signals import let_signals_through

DEFAULT_COMMAND = "run"
WIDEST_HELP = 100

_SPELLED_AS_COMMANDS = {"help": "--help", "version": "--version"}
_DAEMONS = frozenset({DEFAULT_COMMAND, "demo"})
"""These commands handle signals themselves; until then, signals are held."""
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
"""Anything else that begins with a dash, such as a negative number, is a value."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; without one, ``run``.

    Returns:
        the exit code, see :class:`~exporter.commands.entry_points.Exit`; bad flags raise ``SystemExit`` with
        ``USAGE``.
    """
    terminal.prepare_streams()
    given = _with_command(list(sys.argv[1:] if arguments is None else arguments))
    try:
        try:
            if given == ["--version"]:
                sys.stdout.write(f"{PROGRAM} {__version__}\n")
                return Exit.OK
            parsed = _parse(given)
            if given[0] not in _DAEMONS:
                let_signals_through()
            code = int(_COMMANDS[given[0]].act(parsed))
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.FAILED
    except OSError as exc:
        if not isinstance(exc, BrokenPipeError):  # `... | head` has read enough
            terminal.error(f"{exc.filename or 'standard output'}: {exc.strerror or exc}")
        # At its end, Python would try to write the rest once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A command."""

    summary: str  # in the list of commands
    description: str  # in its own help
    usage: str = "[flags]"  # what follows its name
    examples: tuple[str, ...]  # without the program's name
    add_flags: Callable[[argparse.ArgumentParser], None]
    act: Callable[[argparse.Namespace], Exit]


class _Parser(argparse.ArgumentParser):
    """Writes help and errors as the other commands write."""

    def __init__(self, *, examples: Iterable[str] = (), **settings: Any) -> None:  # noqa: ANN401 - argparse's
        def formatter(prog: str) -> argparse.HelpFormatter:
            width = min(shutil.get_terminal_size().columns, WIDEST_HELP) - 2
            return argparse.RawDescriptionHelpFormatter(prog, width=width, max_help_position=28)

        lines = "".join(f"\n  {PROGRAM} {example}".rstrip() for example in examples)
        super().__init__(
            epilog=f"examples:{lines}", formatter_class=formatter, allow_abbrev=False, **settings
        )
        self.color = False  # from Python 3.14 on, argparse has colours of its own
        self.commands: Mapping[str, argparse.ArgumentParser] = {}

    def print_help(self, file: Any = None) -> None:  # noqa: ANN401 - as argparse has it
        stream: TextIO = file or sys.stdout
        if not terminal.has_colour(stream):
            stream.write(self.format_help())  # argparse would hide that it cannot be written
            return
        for line in self.format_help().splitlines():
            is_heading = re.fullmatch(r"\w[\w ]*:", line)
            flag = re.match(r"( {2,4}(?:-h, )?)(--[\w.-]+|[a-z-]+(?=  |$))(.*)", line)
            if is_heading or flag is None:
                terminal.write((line, "bold" if is_heading else ""), to=stream)
            else:
                terminal.write(flag[1], (flag[2], "cyan"), flag[3], to=stream)

    def error(self, message: str) -> NoReturn:
        terminal.error(message, hints=[f"{self.prog} --help lists what there is"])
        self.exit(Exit.USAGE)


def _with_command(given: list[str]) -> list[str]:
    """Return the arguments with a command in front; --help and --version count as commands.

    As with other exporters, --version may come after a command or other flags.
    """
    if "--version" in given:
        return ["--version"]
    if given[:1] == ["help"] and given[1:]:
        return [*_with_command(given[1:])[:1], "--help"]
    if given and given[0] in _SPELLED_AS_COMMANDS:
        return [_SPELLED_AS_COMMANDS[given[0]]]
    if given and (given[0] in _COMMANDS or given[0] in {"-h", "--help"}):
        return given
    if given and not given[0].startswith("-"):
        known = [*_COMMANDS, *_SPELLED_AS_COMMANDS]
        message = f"unknown command {given[0]!r}{terminal.suggestion(given[0], known)}"
        terminal.error(
            message, hints=[f"commands: {', '.join(known)}", f"{PROGRAM} --help lists what each does"]
        )
        sys.exit(Exit.USAGE)
    return [DEFAULT_COMMAND, *given]


def _parse(given: list[str]) -> argparse.Namespace:
    """Parse the arguments; for an unknown flag, suggest the nearest one."""
    parser = _parser(given[0])
    command = parser.commands.get(given[0], parser)
    known = [*re.findall(r"(?m)^ +(?:-h, )?(--[\w.-]+)", command.format_help()), "-h", "--version"]
    # Before argparse looks: it would rather miss an argument than find a flag misspelled.
    for one in itertools.takewhile(lambda one: one != "--", given[1:]):
        flag = one.partition("=")[0]
        if _FLAG.fullmatch(flag) and flag not in known:
            command.error(f"unknown flag {flag!r}{terminal.suggestion(flag, known)}")
    parsed, unknown = parser.parse_known_args(given)
    if unknown:
        command.error(f"unexpected argument {unknown[0]!r}")
    return parsed


def full_parser() -> argparse.ArgumentParser:
    """Build a parser of all commands with their flags, for shell completion and the man page."""
    return _parser(*_COMMANDS)


def _parser(*chosen: str) -> _Parser:
    """Build a parser of all commands, with the flags of the chosen ones."""
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [command] [flags]",
        description=(
            "Prometheus exporter for the package repositories of NetApp ONTAP clusters.\n"
            f"Without a command, {DEFAULT_COMMAND}. Each command lists its flags with --help."
        ),
        examples=("demo", "check-config config.yaml", "--config.file=config.yaml"),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            prog=f"{PROGRAM} {name}",
            usage=f"{PROGRAM} {name} {command.usage}",
            help=command.summary,
            description=command.description,
            examples=[f"{name} {example}" for example in command.examples],
        )
        if name in chosen:
            command.add_flags(sub)
            sub.set_defaults(parser=sub)
    parser.commands = subparsers.choices
    return parser


_COMMANDS = {
    "run": _Command(
        summary="poll the clusters, serve their metrics, clean up",
        description="Poll the configured clusters, serve their metrics and run the cleanup policies.",
        examples=(
            "--config.file=config.yaml",
            "--web.listen-address=127.0.0.1:10910",
            "--once --output=/var/lib/node_exporter/ontap.prom",
        ),
        add_flags=flags.for_run,
        act=entry_points.run,
    ),
    "check-config": _Command(
        summary="validate a configuration and every file it names",
        description="Validate a configuration and every file that it names. No cluster is contacted.",
        usage="FILE",
        examples=("config.yaml", "--config.file=config.yaml"),
        add_flags=partial(flags.for_check, flag="--config.file"),
        act=entry_points.check_config,
    ),
    "check-web-config": _Command(
        summary="validate a file for --web.config.file",
        description="Validate a file for --web.config.file and every file that it names.",
        usage="FILE",
        examples=("web.yaml", "--web.config.file=web.yaml"),
        add_flags=partial(flags.for_check, flag="--web.config.file"),
        act=entry_points.check_web_config,
    ),
    "plan": _Command(
        summary="show what cleanup would delete, and why it keeps the rest",
        description=(
            "Read the clusters and show what each cleanup policy would delete, and why\n"
            "each other package is kept. Nothing is deleted. The exit code is 1 if a\n"
            "cluster could not be read."
        ),
        examples=(
            "--config.file=config.yaml",
            "--cluster=ams-prod-01 --cluster=nyc-prod-02",
            "--save=approved.json",
            "--diff=approved.json",
        ),
        add_flags=flags.for_plan,
        act=entry_points.plan,
    ),
    "import-harvest": _Command(
        summary="make a configuration from that of NetApp Harvest",
        description=(
            "Print a configuration made from NetApp Harvest's, with the passwords in it.\n"
            "What could not be taken over is a comment beside each cluster."
        ),
        usage="HARVEST_YML",
        examples=("harvest.yml", "/opt/harvest/harvest.yml > config.yaml"),
        add_flags=flags.for_import_harvest,
        act=entry_points.import_harvest,
    ),
    "health": _Command(
        summary="ask a running daemon whether it works",
        description="Ask a running daemon whether it works. The exit code is 1 if it does not.",
        examples=("", "--url=https://localhost:10910"),
        add_flags=flags.for_health,
        act=entry_points.health,
    ),
    "simulate": _Command(
        summary="serve simulated ONTAP clusters, to try things out",
        description=(
            "Serve simulated ONTAP clusters over HTTPS on loopback, and write a\nconfiguration for them."
        ),
        examples=("", "--clusters=200 --packages=40", "--demo-fleet --directory=simulated"),
        add_flags=flags.for_simulate,
        act=entry_points.simulate,
    ),
    "demo": _Command(
        summary="show everything with a small simulated fleet",
        description="Start a small simulated fleet and a daemon that polls and cleans it.",
        examples=("", "--web.listen-address=:10911"),
        add_flags=flags.for_daemon,
        act=entry_points.demo,
    ),
}
