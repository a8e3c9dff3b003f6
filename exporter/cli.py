"""Commands, flags and exit codes. Each command loads what it needs, and no more."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from exporter import __version__, flags
from exporter.app.signals import hold_daemon_signals, stop_on_signals
from exporter.logs import LogFormat, LogLevel, configure_logging
from exporter.sharding import AUTO, Shard, ordinal_from_pod

if TYPE_CHECKING:
    from exporter.app.daemon import Settings
    from exporter.config import Config, Problem
    from exporter.web.auth import WebConfig

T = TypeVar("T")

DEFAULT_COMMAND = "run"


class Exit(IntEnum):
    """What the program ends with."""

    OK = 0  # it did what it was asked to
    FAILED = 1  # a check failed, an address is taken, or a bug ended the daemon
    USAGE = 2  # bad flags, or a configuration that does not load at start


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; without one, ``run``.

    Returns:
        the exit code, see :class:`Exit`. Bad flags raise ``SystemExit`` with ``Exit.USAGE``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0] not in _COMMANDS and given[0] not in {"-h", "--help", "--version"}):
        given.insert(0, DEFAULT_COMMAND)
    parsed = _parser(given[0]).parse_args(given)
    try:
        return int(_COMMANDS[given[0]].act(parsed))
    except KeyboardInterrupt:
        return Exit.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A command: what it is for, its flags and what it does."""

    summary: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    act: Callable[[argparse.Namespace], Exit]


def _parser(chosen: str) -> argparse.ArgumentParser:
    """Build a parser of all commands, with the flags of the chosen one."""
    parser = argparse.ArgumentParser(
        prog="ontap-packages-exporter",
        description="Prometheus exporter for the software package repositories of NetApp ONTAP clusters.",
        epilog=f"Without a command, {DEFAULT_COMMAND}. Each command tells its flags with --help.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        described = f"{command.summary[0].upper()}{command.summary[1:]}."
        sub = commands.add_parser(name, help=command.summary, description=described, allow_abbrev=False)
        if name == chosen:
            command.add_flags(sub)
    return parser


def _run(parsed: argparse.Namespace) -> Exit:
    """Load the configuration, then poll and serve until a signal."""
    hold_daemon_signals()
    # Until the daemon handles it, SIGTERM ends the program just as orderly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.OK))
    from exporter.config import ConfigFiles  # noqa: PLC0415 - loads the YAML library

    shard = _shard(parsed)
    files = ConfigFiles(parsed.config_file, environ=os.environ)
    config = _read(files.load)
    settings = _settings(parsed)
    if shard is None or config is None or settings is None:
        return Exit.USAGE
    sharded = replace(settings, shard=shard)
    _configure_logging(parsed)

    async def poll_and_serve(stop: asyncio.Event) -> None:
        from exporter.app import daemon  # noqa: PLC0415 - loads the HTTP libraries

        await daemon.run(files, config, sharded, stop=stop)

    return _serve(poll_and_serve, new_loop=_fast_loop_factory())


def _shard(parsed: argparse.Namespace) -> Shard | None:
    """Return the share of the clusters that the flags tell; print why where there is none."""
    try:
        ordinal = parsed.shard
        if ordinal == AUTO:
            ordinal = ordinal_from_pod(os.environ, hostname=socket.gethostname())
        return Shard(ordinal=ordinal, total=parsed.total_shards)
    except ValueError as exc:
        sys.stderr.write(f"--shard: {exc}\n")
        return None


def _check_config(parsed: argparse.Namespace) -> Exit:
    config = _load(parsed.config_file)
    if config is None:
        return Exit.FAILED
    return _print_valid(parsed.config_file, config.warnings, _counted(len(config.clusters), "cluster"))


def _check_web_config(parsed: argparse.Namespace) -> Exit:
    config = _load_web(parsed.web_config_file)
    if config is None:
        return Exit.FAILED
    says = "HTTPS" if config.tls is not None else "plain HTTP"
    users = _counted(len(config.users), "user")
    return _print_valid(parsed.web_config_file, config.warnings, f"{says}, {users}")


def _print_valid(file: Path, warnings: Iterable[Problem], holds: str) -> Exit:
    for warning in warnings:
        sys.stdout.write(f"warning: {warning}\n")
    sys.stdout.write(f"{file}: valid, {holds}\n")
    return Exit.OK


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _plan(parsed: argparse.Namespace) -> Exit:
    """Print what each policy would delete; fail where a cluster could not be read."""
    from exporter import planning  # noqa: PLC0415 - loads the HTTP libraries

    config = _load(parsed.config_file)
    if config is None:
        return Exit.USAGE
    for warning in config.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    known = {cluster.name: cluster for cluster in config.clusters}
    unknown = [name for name in parsed.clusters or () if name not in known]
    if unknown:
        sys.stderr.write(f"no cluster is named {', '.join(map(repr, unknown))}\n")
        return Exit.USAGE
    if config.cleanup is None:
        sys.stderr.write(f"{parsed.config_file}: no cleanup is configured, so nothing is ever deleted\n")
    wanted = dict.fromkeys(parsed.clusters) if parsed.clusters else known
    plans = asyncio.run(planning.make_plans(config, [known[name] for name in wanted]))
    write = planning.as_json if parsed.output == "json" else planning.as_table
    sys.stdout.write(write(plans))
    return Exit.FAILED if any(one.plan.problem for one in plans) else Exit.OK


def _health(parsed: argparse.Namespace) -> Exit:
    from exporter import health  # noqa: PLC0415 - loads an HTTP library

    try:
        urls = health.DEFAULT_URLS if parsed.url is None else (parsed.url,)
        wrong = health.ask(urls, cert_file=parsed.cert_file, key_file=parsed.key_file)
    except ValueError as exc:
        sys.stderr.write(f"{exc}\n")
        return Exit.USAGE
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
        return Exit.FAILED
    return Exit.OK


def _simulate(parsed: argparse.Namespace) -> Exit:
    from exporter.simulator import command  # noqa: PLC0415 - loads the HTTP libraries

    _configure_logging(parsed)
    return _serve(lambda stop: command.serve(parsed, stop=stop))


def _demo(parsed: argparse.Namespace) -> Exit:
    hold_daemon_signals()
    from exporter import demo  # noqa: PLC0415 - loads the HTTP libraries

    settings = _settings(parsed)
    if settings is None:
        return Exit.USAGE
    _configure_logging(parsed)
    return _serve(lambda stop: demo.run(settings, stop=stop))


def _settings(parsed: argparse.Namespace) -> Settings | None:
    """Gather the flags; print what is wrong with the web configuration, and return None, where it is bad."""
    from exporter.app import daemon  # noqa: PLC0415 - loads the HTTP libraries

    web_config = None
    if parsed.web_config_file is not None and (web_config := _load_web(parsed.web_config_file)) is None:
        return None
    return daemon.Settings(
        listen_addresses=tuple(parsed.listen_addresses or ()),
        telemetry_path=parsed.telemetry_path,
        reload_by_http=getattr(parsed, "reload_by_http", False),
        cleanup_halted=getattr(parsed, "cleanup_halted", False),
        web_config=web_config,
    )


def _load(path: Path) -> Config | None:
    """Load a configuration; print what is wrong with it and return None where it does not load."""
    from exporter.config import load_config  # noqa: PLC0415 - loads the YAML library

    return _read(lambda: load_config(path, environ=os.environ))


def _load_web(path: Path) -> WebConfig | None:
    """Load a web configuration; print what is wrong with it and return None where it does not load."""
    from exporter.web.auth import load_web_config  # noqa: PLC0415 - loads the HTTP libraries

    return _read(lambda: load_web_config(path, environ=os.environ))


def _read(load: Callable[[], T]) -> T | None:
    from exporter.config import ConfigError  # noqa: PLC0415 - loads the YAML library

    try:
        return load()
    except ConfigError as exc:
        sys.stderr.write(f"{exc}\n")
        return None


def _configure_logging(parsed: argparse.Namespace) -> None:
    configure_logging(level=LogLevel(parsed.log_level), form=LogFormat(parsed.log_format))


def _fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's loop; None, for Python's own, where there is no uvloop for this platform."""
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def _serve(
    act: Callable[[asyncio.Event], Coroutine[None, None, None]],
    *,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Exit:
    """Run until a signal; an address that is taken, a missing library or a bug ends the program loudly."""

    async def serve() -> None:
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await act(stop)

    log = structlog.get_logger(__name__)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(serve())
    except (OSError, ModuleNotFoundError) as exc:
        log.error("cannot start", error=str(exc))  # noqa: TRY400 - an operator's mistake, not ours
        return Exit.FAILED
    except BaseExceptionGroup:
        log.exception("a bug ended the program")
        return Exit.FAILED
    return Exit.OK


_COMMANDS = {
    "run": _Command(
        summary="poll the configured clusters and serve their metrics",
        add_flags=flags.for_run,
        act=_run,
    ),
    "check-config": _Command(
        summary="validate a configuration and every file that it names",
        add_flags=flags.for_check_config,
        act=_check_config,
    ),
    "check-web-config": _Command(
        summary="validate a file for --web.config.file and every file that it names",
        add_flags=flags.for_check_web_config,
        act=_check_web_config,
    ),
    "plan": _Command(
        summary="print what each cleanup policy would delete and why each other package is kept",
        add_flags=flags.for_plan,
        act=_plan,
    ),
    "health": _Command(
        summary="ask a running daemon whether it works", add_flags=flags.for_health, act=_health
    ),
    "simulate": _Command(
        summary="serve simulated ONTAP clusters over HTTPS on loopback",
        add_flags=flags.for_simulate,
        act=_simulate,
    ),
    "demo": _Command(
        summary="start a small simulated fleet and a daemon that polls and cleans it",
        add_flags=flags.for_daemon,
        act=_demo,
    ),
}
