"""Runs each command, from its parsed flags to its exit code. A command loads only the libraries it needs."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from exporter import terminal
from exporter.app.event_loop import fast_loop_factory
from exporter.app.sharding import AUTO, Shard, ordinal_from_pod
from exporter.app.signals import stop_on_signals
from exporter.commands import loading
from exporter.files import write_file
from exporter.held_signals import let_signals_through, let_stop_signals_through
from exporter.logs import LogFormat, LogLevel, configure_logging

if TYPE_CHECKING:
    from exporter.app.daemon import DaemonSettings
    from exporter.config import Config
    from exporter.config.plan_file import SavedPlan
    from exporter.ontap.cluster_settings import ClusterSettings
    from exporter.planning.fleet_plans import Plans


class Exit(IntEnum):
    """The exit codes of the program."""

    OK = 0  # it did what it was asked to
    FAILED = 1  # a check failed, an address is taken, or a bug ended the daemon
    USAGE = 2  # bad flags, or a configuration that does not load at start


def run(parsed: argparse.Namespace) -> Exit:
    """Load the configuration, then poll and serve until a signal."""
    if parsed.once:
        let_signals_through()
    else:
        _stop_on_signals_while_starting()
    from exporter.config import ConfigFiles  # noqa: PLC0415 - loads the YAML library

    shard = _shard(parsed)
    files = ConfigFiles(parsed.config_file, environ=os.environ)
    config = loading.read(files.load)
    loading.advise_without_configuration(parsed)
    if parsed.output is not None and not parsed.once:
        terminal.error("--output is only for --once")
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

    log = structlog.get_logger(__name__)
    return _serve(
        poll_and_serve,
        on_failure=lambda exc: log.error("cannot start", error=str(exc)),
        new_loop=fast_loop_factory(),
    )


def _run_once(parsed: argparse.Namespace, config: Config, shard: Shard) -> Exit:
    """Poll every cluster once and write what there is to scrape."""
    from exporter.app.once import poll_once  # noqa: PLC0415 - loads the HTTP libraries

    _configure_logging(parsed)
    log = structlog.get_logger(__name__)
    for warning in config.warnings:
        log.warning("warning about the configuration", **warning.logged())
    exposition, all_read = asyncio.run(poll_once(config, shard=shard))
    if parsed.output is not None:
        if not _written(parsed.output, exposition):
            return Exit.FAILED
    elif sys.stdout.isatty():
        sys.stdout.write(terminal.escaped(exposition.decode(), keep="\n"))
    else:
        sys.stdout.buffer.write(exposition)
    return Exit.OK if all_read else Exit.FAILED


def check_config(parsed: argparse.Namespace) -> Exit:
    """Write every mistake of a configuration, or what is in it."""
    file = parsed.file or parsed.file_of_flag
    config = loading.load(file)
    if config is None:
        return Exit.FAILED
    policies = config.cleanup.policies if config.cleanup else ()
    summary = terminal.counted(len(config.clusters), "cluster")
    if policies:
        summary += f", {len(policies)} cleanup {'policy' if len(policies) == 1 else 'policies'}"
    loading.write_valid(file, config.warnings, summary)
    if policies:
        deleting = ", ".join(policy.name for policy in policies if not policy.dry_run)
        planning = ", ".join(policy.name for policy in policies if policy.dry_run)
        terminal.write(f"deleting: {deleting or 'none'}", f"; dry run: {planning}" if planning else "")
    return Exit.OK


def check_web_config(parsed: argparse.Namespace) -> Exit:
    """Write every mistake of a web configuration, or what is in it."""
    file = parsed.file or parsed.file_of_flag
    config = loading.load_web(file)
    if config is None:
        return Exit.FAILED
    protocol = "HTTPS" if config.tls is not None else "plain HTTP"
    loading.write_valid(file, config.warnings, f"{protocol}, {terminal.counted(len(config.users), 'user')}")
    return Exit.OK


def plan(parsed: argparse.Namespace) -> Exit:
    """Write what each policy would delete; fail if a cluster could not be read."""
    from exporter.config.plan_file import load_plan  # noqa: PLC0415 - loads pydantic
    from exporter.planning import fleet_plans, saved_plans  # noqa: PLC0415 - HTTP libraries

    if parsed.diff is not None and parsed.output == "json":
        parsed.parser.error("--diff writes lines for people, so it does not go with --output=json")
    config = loading.load(parsed.config_file)
    loading.advise_without_configuration(parsed)
    if config is None:
        return Exit.USAGE
    for warning in config.warnings:
        terminal.warn(str(warning))
    try:
        saved = None if parsed.diff is None else load_plan(parsed.diff)
    except ValueError as exc:
        terminal.error(f"{parsed.diff}: {exc}")
        return Exit.USAGE
    clusters = _chosen_clusters(parsed, config)
    if clusters is None:
        return Exit.USAGE
    if config.cleanup is None:
        terminal.warn(f"{parsed.config_file}: no cleanup is configured, so nothing is ever deleted")
    wanted = fleet_plans.with_policy(config, clusters)
    with terminal.progress("reading clusters", total=len(wanted)) as on_read:
        plans = asyncio.run(
            fleet_plans.make_plans(
                config,
                wanted,
                for_approval=parsed.save is not None or parsed.diff is not None,
                on_read=on_read,
            )
        )
    for reason in plans.warnings:
        terminal.warn(reason)
    _write_plans(parsed, plans, saved)
    if parsed.save is not None and not _written(parsed.save, saved_plans.as_json(plans).encode()):
        return Exit.FAILED
    return Exit.FAILED if any(one.plan.problem for one in plans.plans) else Exit.OK


def _write_plans(parsed: argparse.Namespace, plans: Plans, saved: SavedPlan | None) -> None:
    from exporter.planning import plan_tables, saved_plans  # noqa: PLC0415 - HTTP libraries

    if saved is not None:
        chosen = frozenset(parsed.clusters) if parsed.clusters else None
        for line in saved_plans.differences(plans, saved, clusters=chosen):
            terminal.write(line)
    elif parsed.output == "json":
        sys.stdout.write(saved_plans.as_json(plans, ascii_only=sys.stdout.isatty()))
    else:
        plan_tables.write_plans(plans, is_verbose=parsed.verbose)


def _chosen_clusters(parsed: argparse.Namespace, config: Config) -> list[ClusterSettings] | None:
    """Return the clusters that the flags name, else all; if one is not configured, say so, return None."""
    known = {cluster.name: cluster for cluster in config.clusters}
    names = dict.fromkeys(parsed.clusters or known)
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        terminal.error(f"no cluster is named {unknown!r}{terminal.suggestion(unknown, known)}")
        return None
    return [known[name] for name in names]


def import_harvest(parsed: argparse.Namespace) -> Exit:
    """Write a configuration made of Harvest's."""
    from exporter.commands.harvest import convert  # noqa: PLC0415 - loads the YAML library

    try:
        sys.stdout.write(convert(parsed.file))
    except OSError as exc:
        terminal.error(f"{exc.filename or parsed.file}: cannot be read: {exc.strerror}")
        return Exit.FAILED
    except ValueError as exc:
        why, *details = str(exc).splitlines()
        for detail in details:
            terminal.write(detail, to=sys.stderr)
        terminal.error(why.removesuffix(":"))
        return Exit.FAILED
    return Exit.OK


def health(parsed: argparse.Namespace) -> Exit:
    """Ask a running daemon whether it works."""
    from exporter.commands.health import ask, main_command_line, urls_of  # noqa: PLC0415 - loads an HTTP library

    try:
        is_own = parsed.url is None
        urls = urls_of(main_command_line()) if is_own else (parsed.url,)
        wrong = ask(urls, cert_file=parsed.cert_file, key_file=parsed.key_file, is_closing_enough=is_own)
    except ValueError as exc:
        terminal.error(str(exc))
        return Exit.USAGE
    if wrong is not None:
        terminal.error(wrong, hints=["--url says where the daemon listens"] if parsed.url is None else [])
        return Exit.FAILED
    terminal.write("the daemon works")
    return Exit.OK


def simulate(parsed: argparse.Namespace) -> Exit:
    """Serve simulated clusters until a signal."""
    from exporter.simulator import command  # noqa: PLC0415 - loads the HTTP libraries

    _configure_logging(parsed)

    def say(served: Mapping[str, str]) -> None:
        terminal.write_facts("The simulation runs.", {**served, "stop": "Ctrl+C"})

    return _serve(lambda stop: command.serve(parsed, stop=stop, say=say))


def demo(parsed: argparse.Namespace) -> Exit:
    """Simulate, poll and serve until a signal."""
    _stop_on_signals_while_starting()
    from exporter.commands.demo import run as run_demo  # noqa: PLC0415 - loads the HTTP libraries

    settings = _settings(parsed)
    if settings is None:
        return Exit.USAGE
    _configure_logging(parsed)
    return _serve(lambda stop: run_demo(settings, stop=stop))


def _stop_on_signals_while_starting() -> None:
    """Until the daemon handles signals: end the program in order on SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(Exit.OK))
    let_stop_signals_through()


def _shard(parsed: argparse.Namespace) -> Shard | None:
    """Return the shard that the flags name; if there is no such shard, print why and return None."""
    try:
        ordinal = parsed.shard
        if ordinal == AUTO:
            ordinal = ordinal_from_pod(os.environ, hostname=socket.gethostname())
        return Shard(ordinal=ordinal, total=parsed.total_shards)
    except ValueError as exc:
        terminal.error(f"--shard: {exc}")
        return None


def _settings(parsed: argparse.Namespace) -> DaemonSettings | None:
    """Return the settings of a daemon; if the web configuration or a flag is bad, print why, return None."""
    from exporter.app import daemon  # noqa: PLC0415 - loads the HTTP libraries
    from exporter.web.site import parse_site  # noqa: PLC0415 - likewise

    try:
        site = parse_site(parsed.external_url, parsed.route_prefix, parsed.grafana_url)
    except ValueError as exc:
        terminal.error(str(exc))
        return None
    web_config = None
    if (
        parsed.web_config_file is not None
        and (web_config := loading.load_web(parsed.web_config_file)) is None
    ):
        return None
    return daemon.DaemonSettings(
        listen_addresses=tuple(parsed.listen_addresses or ()),
        telemetry_path=parsed.telemetry_path,
        site=site,
        reload_by_http=getattr(parsed, "reload_by_http", False),
        cleanup_halted=getattr(parsed, "cleanup_halted", False),
        web_config=web_config,
    )


def _written(path: Path, content: bytes) -> bool:
    """Write a file; if that fails, say why and return False."""
    try:
        write_file(path, content)
    except OSError as exc:
        terminal.error(f"{path}: cannot be written: {exc.strerror}")
        return False
    return True


def _configure_logging(parsed: argparse.Namespace) -> None:
    configure_logging(level=LogLevel(parsed.log_level), form=LogFormat(parsed.log_format))


def _serve(
    act: Callable[[asyncio.Event], Coroutine[None, None, None]],
    *,
    on_failure: Callable[[OSError | ModuleNotFoundError], object] = terminal.failure,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Exit:
    """Run until a signal; say why if an address in use, a missing library or a bug ends the program."""

    async def serve() -> None:
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await act(stop)

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(serve())
    except (OSError, ModuleNotFoundError) as exc:
        on_failure(exc)
        return Exit.FAILED
    except BaseExceptionGroup:
        structlog.get_logger(__name__).exception("a bug ended the program")
        return Exit.FAILED
    return Exit.OK
