"""Log lines: a constant phrase and key=value pairs, as logfmt or JSON, on standard error."""

from __future__ import annotations

import logging
from enum import StrEnum

import structlog

import exporter
from exporter.terminal import escaped


class LogFormat(StrEnum):
    """How a line is written."""

    LOGFMT = "logfmt"  # key=value pairs, as Prometheus writes them
    JSON = "json"  # one JSON object a line


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"  # every poll
    INFO = "info"  # starts, stops and recoveries
    WARNING = "warning"  # an operator should check it
    ERROR = "error"  # the exporter cannot do its work


def configure_logging(*, level: LogLevel, form: LogFormat) -> None:
    """Write the log lines of this program and of its libraries to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
        _without_none,
        _on_one_line,
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(form)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.WARNING))  # libraries: only warnings and errors
    logging.getLogger(exporter.__name__).setLevel(least)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(capture=True)


def _without_none(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out keys whose value is None."""
    return {key: value for key, value in event.items() if value is not None}


def _on_one_line(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters: parts of a line come from clusters, files and clients."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = escaped(value, keep="\n")
    return event


def _renderer(form: LogFormat) -> structlog.typing.Processor:
    if form is LogFormat.JSON:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.processors.LogfmtRenderer(key_order=["ts", "level", "msg"], bool_as_flag=False)
