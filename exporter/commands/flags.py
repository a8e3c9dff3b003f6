"""The flags of every command, in Prometheus's style."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from exporter.app.sharding import AUTO
from exporter.logs import LogFormat, LogLevel
from exporter.web.addresses import ListenAddress, parse_listen_address

RESERVED_PATHS = ("/-", "/probe", "/config", "/sd", "/api/v1", "/clusters", "/cleanup", "/icon.svg")
"""Other pages are at these paths and below; metrics cannot be served there."""


def for_run(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``run``."""
    _config_flag(parser)
    parser.add_argument(
        "--once",
        action="store_true",
        help="poll every cluster once, write the metrics and end; nothing is deleted, nothing is served",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="with --once: write the metrics to a file, whole or not at all (default: standard output)",
    )
    for_daemon(parser, can_reload=True)
    group = parser.add_argument_group("cleanup")
    group.add_argument(
        "--cleanup.halted",
        dest="cleanup_halted",
        action="store_true",
        help="start with the kill switch on: delete nothing until SIGUSR2; SIGUSR1 turns it on at any time",
    )
    group = parser.add_argument_group("several processes")
    group.add_argument(
        "--shard",
        type=_ordinal,
        default=0,
        metavar="ORDINAL",
        help=f"poll this share of the clusters, counted from 0; {AUTO}: the number at the end of the name of "
        "the pod of a StatefulSet (POD_NAME, else the host's name) (default: %(default)s)",
    )
    group.add_argument(
        "--total-shards",
        type=int,
        default=1,
        metavar="COUNT",
        help="how many shares the clusters are divided into (default: %(default)s)",
    )


def for_check(parser: argparse.ArgumentParser, *, flag: str) -> None:
    """Add the file to check, which is also taken as this flag of ``run``."""
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the file to check")
    either.add_argument(flag, dest="file_of_flag", type=Path, metavar="FILE", help="the same as FILE")


def for_import_harvest(parser: argparse.ArgumentParser) -> None:
    """Add the argument of ``import-harvest``."""
    parser.add_argument("file", type=Path, metavar="HARVEST_YML", help="the configuration of Harvest")


def for_plan(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``plan``."""
    _config_flag(parser)
    parser.add_argument(
        "--cluster",
        dest="clusters",
        action="append",
        metavar="NAME",
        help="plan for this cluster only, repeatable (default: every cluster that a policy applies to)",
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--verbose",
        action="store_true",
        help="list every package; without it, of several clusters, kept packages are summed up by reason",
    )
    group.add_argument(
        "--output",
        choices=["table", "json"],
        default="table",
        help="for people or for programs (default: %(default)s)",
    )
    group = parser.add_argument_group("approval")
    group.add_argument("--save", type=Path, metavar="FILE", help="store the plan as JSON, for approved_plan")
    group.add_argument(
        "--diff", type=Path, metavar="FILE", help="show what has changed since a plan was saved, not the plan"
    )


def for_health(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``health``."""
    parser.add_argument(
        "--url",
        help="where the daemon listens, http://host:port or https://host:port (default: in a container, "
        "where its main process listens; else port 10910 of localhost; with TLS or without)",
    )
    parser.add_argument(
        "--cert-file", type=Path, metavar="FILE", help="a client certificate, if the daemon asks for one"
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="the key of the client certificate")


def for_simulate(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``simulate``."""
    from exporter.simulator import command  # noqa: PLC0415 - loads the HTTP libraries

    command.add_arguments(parser)
    _log_flags(parser)


def for_daemon(parser: argparse.ArgumentParser, *, can_reload: bool = False) -> None:
    """Add the flags of every command that listens, ``demo`` among them; only ``run`` can reload."""
    group = parser.add_argument_group("pages")
    group.add_argument(
        "--web.listen-address",
        dest="listen_addresses",
        action="append",
        type=_listen_address,
        metavar="ADDRESS",
        help="[host]:port to listen on, repeatable; port 0 picks a free one and logs it "
        "(default: what systemd passes, else :10910)",
    )
    group.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default="/metrics",
        metavar="PATH",
        help="where metrics are served (default: %(default)s)",
    )
    group.add_argument(
        "--web.external-url",
        dest="external_url",
        metavar="URL",
        help="the URL, or its path, at which browsers find the pages, e.g. behind a proxy; if it has a host, "
        "requests for other hosts are refused (default: none)",
    )
    group.add_argument(
        "--web.route-prefix",
        dest="route_prefix",
        metavar="PATH",
        help="what every path begins with (default: the path of --web.external-url)",
    )
    group.add_argument(
        "--web.grafana-url",
        dest="grafana_url",
        metavar="URL",
        help="where Grafana shows the dashboards; the pages then link to them (default: none)",
    )
    group.add_argument(
        "--web.config.file",
        dest="web_config_file",
        type=lambda text: Path(text) if text else None,  # empty is none, as with other exporters
        metavar="FILE",
        help="TLS, basic auth and rate limit, in the format of Prometheus exporter-toolkit (default: none)",
    )
    if can_reload:
        group.add_argument(
            "--web.enable-lifecycle",
            dest="reload_by_http",
            action="store_true",
            help="allow POST and PUT /-/reload, which read the configuration again, as SIGHUP does",
        )
    _log_flags(parser)


def _config_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config.file",
        dest="config_file",
        type=Path,
        default=Path("config.yaml"),
        metavar="FILE",
        help="the configuration (default: %(default)s)",
    )


def _log_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("log")
    group.add_argument(
        "--log.level",
        dest="log_level",
        type=lambda text: {"warn": "warning"}.get(text.lower(), text.lower()),
        choices=[str(level) for level in LogLevel],
        default=str(LogLevel.INFO),
        metavar="LEVEL",
        help="the least severe line that is written: debug, info, warning or error (default: %(default)s)",
    )
    group.add_argument(
        "--log.format",
        dest="log_format",
        choices=[str(form) for form in LogFormat],
        default=str(LogFormat.LOGFMT),
        metavar="FORMAT",
        help="how lines are written: logfmt or json (default: %(default)s)",
    )


def _listen_address(text: str) -> ListenAddress:
    try:
        return parse_listen_address(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _ordinal(text: str) -> int | str:
    if text == AUTO:
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a shard: {text!r}; write a number from 0, or {AUTO}")
    return int(text)


def _telemetry_path(text: str) -> str:
    is_taken = any(f"{text}/".startswith(f"{path}/") for path in RESERVED_PATHS)
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", text) or is_taken:
        raise argparse.ArgumentTypeError(f"not a path for metrics: {text!r}; write e.g. /metrics")
    return text
