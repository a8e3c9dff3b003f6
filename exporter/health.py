"""The ``health`` command: asks a running daemon whether it works, for a container's health check."""

from __future__ import annotations

import http
import http.client
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 4.0


def ask(url: str) -> str | None:
    """Ask the daemon at ``url``; return None where it is healthy, else what is wrong.

    Raises:
        ValueError: ``url`` is not ``http://host[:port]``.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"not an address of the exporter: {url!r}; write e.g. http://localhost:10910")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"{url} does not answer: {exc}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"{url} answers HTTP {status}"
