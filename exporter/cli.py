"""The command line: the commands, and the flags of each."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from exporter import __version__, commands, flags
from exporter.commands import Exit

PROGRAM = "ontap-packages-exporter"
DEFAULT_COMMAND = "run"

_SPELLED_AS_COMMANDS = {"help": "--help", "version": "--version"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; without one, ``run``.

    Returns:
        the exit code, see :class:`~exporter.commands.Exit`; bad flags raise ``SystemExit`` with ``USAGE``.
    """
    given = _with_command(list(sys.argv[1:] if arguments is None else arguments))
    parsed = _parse(given)
    try:
        return int(_COMMANDS[given[0]].act(parsed))
    except KeyboardInterrupt:
        return Exit.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A command: its summary, its flags and the function that runs it."""

    summary: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    act: Callable[[argparse.Namespace], Exit]


def _with_command(given: list[str]) -> list[str]:
    """Return the arguments with a command in front; --help and --version count as commands."""
    if given[:1] == ["help"] and given[1:]:
        return [*_with_command(given[1:])[:1], "--help"]
    if given and given[0] in _SPELLED_AS_COMMANDS:
        return [_SPELLED_AS_COMMANDS[given[0]]]
    if given and (given[0] in _COMMANDS or given[0] in {"-h", "--help", "--version"}):
        return given
    if given and not given[0].startswith("-"):
        known = [*_COMMANDS, *_SPELLED_AS_COMMANDS]
        hint = _nearest(given[0], known) or f"; there are {', '.join(known)}"
        _parser().error(f"no such command: {given[0]!r}{hint}")
    return [DEFAULT_COMMAND, *given]


def _parse(given: list[str]) -> argparse.Namespace:
    """Parse the arguments; for an unknown flag, suggest the nearest one."""
    parser = _parser(given[0])
    parsed, unknown = parser.parse_known_args(given)
    if unknown:
        known = [*re.findall(r"--[\w.-]+", parsed.usage), "--help", "--version"]
        hints = (_nearest(flag.partition("=")[0], known) for flag in unknown if flag.startswith("-"))
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{next(filter(None, hints), '')}")
    return parsed


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return a suggestion, the known word that is most similar; "" if none is similar."""
    near = get_close_matches(word, tuple(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def full_parser() -> argparse.ArgumentParser:
    """Build a parser of all commands with their flags, for shell completion and the man page."""
    return _parser(*_COMMANDS)


def _parser(*chosen: str) -> argparse.ArgumentParser:
    """Build a parser of all commands, with the flags of the chosen ones."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Prometheus exporter for the software package repositories of NetApp ONTAP clusters.",
        epilog=f"Without a command, {DEFAULT_COMMAND}. Each command lists its flags with --help.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        described = f"{command.summary[0].upper()}{command.summary[1:]}."
        sub = subparsers.add_parser(name, help=command.summary, description=described, allow_abbrev=False)
        if name in chosen:
            command.add_flags(sub)
            sub.set_defaults(usage=sub.format_usage())
    return parser


_COMMANDS = {
    "run": _Command(
        summary="poll the configured clusters and serve their metrics",
        add_flags=flags.for_run,
        act=commands.run,
    ),
    "check-config": _Command(
        summary="validate a configuration and every file that it names",
        add_flags=flags.for_check_config,
        act=commands.check_config,
    ),
    "check-web-config": _Command(
        summary="validate a file for --web.config.file and every file that it names",
        add_flags=flags.for_check_web_config,
        act=commands.check_web_config,
    ),
    "plan": _Command(
        summary="print what each cleanup policy would delete and why each other package is kept",
        add_flags=flags.for_plan,
        act=commands.plan,
    ),
    "import-harvest": _Command(
        summary="print a configuration made of NetApp Harvest's harvest.yml, with the passwords in it",
        add_flags=flags.for_import_harvest,
        act=commands.import_harvest,
    ),
    "health": _Command(
        summary="ask a running daemon whether it works", add_flags=flags.for_health, act=commands.health
    ),
    "simulate": _Command(
        summary="serve simulated ONTAP clusters over HTTPS on loopback",
        add_flags=flags.for_simulate,
        act=commands.simulate,
    ),
    "demo": _Command(
        summary="start a small simulated fleet and a daemon that polls and cleans it",
        add_flags=flags.for_daemon,
        act=commands.demo,
    ),
}
