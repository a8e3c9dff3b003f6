"""Runs each command, from its parsed flags to its exit code. A command loads only the libraries it needs."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from exporter.app.event_loop import fast_loop_factory
from exporter.app.sharding import AUTO, Shard, ordinal_from_pod
from exporter.app.signals import hold_daemon_signals, stop_on_signals
from exporter.files import write_file
from exporter.logs import LogFormat, LogLevel, configure_logging

if TYPE_CHECKING:
    from exporter.app.daemon import Settings
    from exporter.config import Config, Problem
    from exporter.web.auth import WebConfig

T = TypeVar("T")

_NO_CONFIGURATION = """\
To try the exporter without a configuration: ontap-packages-exporter demo
To name a configuration: --config.file=FILE. Every flag: ontap-packages-exporter {command} --help
"""


class Exit(IntEnum):
    """The exit codes of the program."""

    OK = 0  # it did what it was asked to
    FAILED = 1  # a check failed, an address is taken, or a bug ended the daemon
    USAGE = 2  # bad flags, or a configuration that does not load at start


def run(parsed: argparse.Namespace) -> Exit:
    """Load the configuration, then poll and serve until a signal."""
    hold_daemon_signals()
    # Until the daemon handles SIGTERM, it ends the program in order too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.OK))
    from exporter.config import ConfigFiles  # noqa: PLC0415 - loads the YAML library

    shard = _shard(parsed)
    files = ConfigFiles(parsed.config_file, environ=os.environ)
    config = _read(files.load)
    _advise_without_configuration(parsed)
    if parsed.output is not None and not parsed.once:
        sys.stderr.write("--output is only for --once\n")
        return Exit.USAGE
    if parsed.once:
        return Exit.USAGE if shard is None or config is None else _run_once(parsed, config, shard)
    settings = _settings(parsed)
    if shard is None or config is None or settings is None:
        return Exit.USAGE
    sharded = replace(settings, shard=shard)
    _configure_logging(parsed)

    async def poll_and_serve(stop: asyncio.Event) -> None:
        from exporter.app import daemon  # noqa: PLC0415 - loads the HTTP libraries

        await daemon.run(files, config, sharded, stop=stop)

    return _serve(poll_and_serve, new_loop=fast_loop_factory())


def _run_once(parsed: argparse.Namespace, config: Config, shard: Shard) -> Exit:
    """Poll every cluster once and write what there is to scrape."""
    from exporter.app.once import poll_once  # noqa: PLC0415 - loads the HTTP libraries

    _configure_logging(parsed)
    log = structlog.get_logger(__name__)
    for warning in config.warnings:
        log.warning("configuration", **warning.logged())
    polled = asyncio.run(poll_once(config, shard=shard))
    try:
        if parsed.output is None:
            sys.stdout.buffer.write(polled.exposition)
        else:
            write_file(parsed.output, polled.exposition)
    except OSError as exc:
        sys.stderr.write(f"{parsed.output or 'standard output'}: cannot be written: {exc.strerror}\n")
        return Exit.FAILED
    return Exit.FAILED if polled.failed else Exit.OK


def _advise_without_configuration(parsed: argparse.Namespace) -> None:
    """Say what to do where there is no configuration."""
    if not parsed.config_file.exists():
        sys.stderr.write(_NO_CONFIGURATION.format(command=parsed.usage.split()[2]))


def check_config(parsed: argparse.Namespace) -> Exit:
    """Print every mistake of a configuration."""
    file = parsed.file or parsed.config_file
    config = _load(file)
    if config is None:
        return Exit.FAILED
    return _print_valid(file, config.warnings, _counted(len(config.clusters), "cluster"))


def check_web_config(parsed: argparse.Namespace) -> Exit:
    """Print every mistake of a web configuration."""
    file = parsed.file or parsed.web_config_file
    config = _load_web(file)
    if config is None:
        return Exit.FAILED
    protocol = "HTTPS" if config.tls is not None else "plain HTTP"
    return _print_valid(file, config.warnings, f"{protocol}, {_counted(len(config.users), 'user')}")


def plan(parsed: argparse.Namespace) -> Exit:
    """Print what each policy would delete; fail if a cluster could not be read."""
    from exporter import planning  # noqa: PLC0415 - loads the HTTP libraries

    config = _load(parsed.config_file)
    _advise_without_configuration(parsed)
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
    if plans.journal_problem:
        sys.stderr.write(
            f"the journal could not be read, so no package counts as seen: {plans.journal_problem}\n"
        )
    if parsed.diff is not None:
        try:
            sys.stdout.write(planning.differences(plans, parsed.diff))
        except ValueError as exc:
            sys.stderr.write(f"{parsed.diff}: {exc}\n")
            return Exit.USAGE
    else:
        write = planning.as_json if parsed.output == "json" else planning.as_table
        sys.stdout.write(write(plans))
    if parsed.save is not None:
        try:
            planning.save(plans, parsed.save)
        except OSError as exc:
            sys.stderr.write(f"{parsed.save}: cannot be written: {exc.strerror}\n")
            return Exit.FAILED
    return Exit.FAILED if any(one.plan.problem for one in plans.plans) else Exit.OK


def import_harvest(parsed: argparse.Namespace) -> Exit:
    """Print a configuration made of Harvest's."""
    from exporter.harvest import convert  # noqa: PLC0415 - loads the YAML library

    try:
        sys.stdout.write(convert(parsed.file))
    except OSError as exc:
        sys.stderr.write(f"{exc.filename or parsed.file}: cannot be read: {exc.strerror}\n")
        return Exit.FAILED
    except ValueError as exc:
        sys.stderr.write(f"{parsed.file}: {exc}\n")
        return Exit.FAILED
    return Exit.OK


def health(parsed: argparse.Namespace) -> Exit:
    """Ask a running daemon whether it works."""
    from exporter.health import ask, main_command_line, urls_of  # noqa: PLC0415 - loads an HTTP library

    try:
        urls = urls_of(main_command_line()) if parsed.url is None else (parsed.url,)
        wrong = ask(urls, cert_file=parsed.cert_file, key_file=parsed.key_file)
    except ValueError as exc:
        sys.stderr.write(f"{exc}\n")
        return Exit.USAGE
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
        return Exit.FAILED
    return Exit.OK


def simulate(parsed: argparse.Namespace) -> Exit:
    """Serve simulated clusters until a signal."""
    from exporter.simulator import command  # noqa: PLC0415 - loads the HTTP libraries

    _configure_logging(parsed)
    return _serve(lambda stop: command.serve(parsed, stop=stop))


def demo(parsed: argparse.Namespace) -> Exit:
    """Simulate, poll and serve until a signal."""
    hold_daemon_signals()
    from exporter.demo import run as run_demo  # noqa: PLC0415 - loads the HTTP libraries

    settings = _settings(parsed)
    if settings is None:
        return Exit.USAGE
    _configure_logging(parsed)
    return _serve(lambda stop: run_demo(settings, stop=stop))


def _shard(parsed: argparse.Namespace) -> Shard | None:
    """Return the shard that the flags name; if there is no such shard, print why and return None."""
    try:
        ordinal = parsed.shard
        if ordinal == AUTO:
            ordinal = ordinal_from_pod(os.environ, hostname=socket.gethostname())
        return Shard(ordinal=ordinal, total=parsed.total_shards)
    except ValueError as exc:
        sys.stderr.write(f"--shard: {exc}\n")
        return None


def _settings(parsed: argparse.Namespace) -> Settings | None:
    """Return the settings of a daemon; if the web configuration or a flag is bad, print why, return None."""
    from exporter.app import daemon  # noqa: PLC0415 - loads the HTTP libraries
    from exporter.web.site import parse_site  # noqa: PLC0415 - likewise

    try:
        site = parse_site(parsed.external_url, parsed.route_prefix)
    except ValueError as exc:
        sys.stderr.write(f"{exc}\n")
        return None
    web_config = None
    if parsed.web_config_file is not None and (web_config := _load_web(parsed.web_config_file)) is None:
        return None
    return daemon.Settings(
        listen_addresses=tuple(parsed.listen_addresses or ()),
        telemetry_path=parsed.telemetry_path,
        site=site,
        reload_by_http=getattr(parsed, "reload_by_http", False),
        cleanup_halted=getattr(parsed, "cleanup_halted", False),
        web_config=web_config,
    )


def _load(path: Path) -> Config | None:
    from exporter.config import load_config  # noqa: PLC0415 - loads the YAML library

    return _read(lambda: load_config(path, environ=os.environ))


def _load_web(path: Path) -> WebConfig | None:
    from exporter.web.auth import load_web_config  # noqa: PLC0415 - loads the HTTP libraries

    return _read(lambda: load_web_config(path, environ=os.environ))


def _read(load: Callable[[], T]) -> T | None:
    """Load a file; if it has mistakes, print all of them and return None."""
    from exporter.config import ConfigError  # noqa: PLC0415 - loads the YAML library

    try:
        return load()
    except ConfigError as exc:
        sys.stderr.write(f"{exc}\n")
        return None


def _print_valid(file: Path, warnings: Iterable[Problem], summary: str) -> Exit:
    for warning in warnings:
        sys.stdout.write(f"warning: {warning}\n")
    sys.stdout.write(f"{file}: valid, {summary}\n")
    return Exit.OK


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _configure_logging(parsed: argparse.Namespace) -> None:
    configure_logging(level=LogLevel(parsed.log_level), form=LogFormat(parsed.log_format))


def _serve(
    act: Callable[[asyncio.Event], Coroutine[None, None, None]],
    *,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Exit:
    """Run until a signal; log why if an address in use, a missing library or a bug ends the program."""

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
