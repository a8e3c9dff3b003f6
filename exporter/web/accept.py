"""What a client accepts, by the weights of HTTP. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporter.metrics.text import Format

_OPENMETRICS_VERSIONS = frozenset({"1.0.0", ""})
_TEXT_TYPES = frozenset({"text/plain", "text/*", "*/*"})


def preferred_format(accept: Iterable[str]) -> Format:
    """Return OpenMetrics 1.0 if it is asked for at least as much as text; text in every other case."""
    text = openmetrics = 0.0
    for media_type, parameters, weight in _with_weights(accept):
        if media_type == "application/openmetrics-text":
            if parameters.get("version", "") in _OPENMETRICS_VERSIONS:
                openmetrics = max(openmetrics, weight)
        elif media_type in _TEXT_TYPES and parameters.get("version", "0.0.4") == "0.0.4":
            text = max(text, weight)
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= text else Format.TEXT


def accepts_gzip(accept_encoding: Iterable[str]) -> bool:
    """Say whether a client accepts gzip."""
    weights = {coding: weight for coding, _, weight in _with_weights(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _with_weights(headers: Iterable[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Give each item of the headers with its parameters and its weight, by default 1."""
    for item in ",".join(headers).split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        if name:
            yield name.lower(), parameters, weight
