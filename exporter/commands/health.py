"""The ``health`` command: asks a running daemon whether it works, for a container's health check."""

from __future__ import annotations

import http
import http.client
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 4.0
LISTEN_FLAG = "--web.listen-address"
EXTERNAL_URL_FLAG = "--web.external-url"
ROUTE_PREFIX_FLAG = "--web.route-prefix"
DEFAULT_ADDRESS = ":10910"
_EVERYWHERE = {"": "localhost", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where a client finds them
_CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_WORKS = frozenset(
    {
        http.HTTPStatus.OK,
        # A daemon that refuses a request works: a health check has no password and may have no certificate.
        http.HTTPStatus.UNAUTHORIZED,
        http.HTTPStatus.FORBIDDEN,
        http.HTTPStatus.MISDIRECTED_REQUEST,
        http.HTTPStatus.TOO_MANY_REQUESTS,
    }
)


def urls_of(command_line: bytes) -> tuple[str, ...]:
    """Return where a daemon with this command line listens: each address without TLS, then with it.

    Args:
        command_line: as ``/proc/PID/cmdline`` has it. The main process of a container is its process 1.
    """
    arguments = command_line.decode(errors="replace").split("\0")
    hosts_and_ports = (
        address.rpartition(":") for address in _given(arguments, LISTEN_FLAG) or [DEFAULT_ADDRESS]
    )
    addresses = [f"{_EVERYWHERE.get(host, host)}:{port}" for host, _, port in hosts_and_ports]
    external = [urlsplit(url).path for url in _given(arguments, EXTERNAL_URL_FLAG)]
    prefix = ["", *external, *filter(None, _given(arguments, ROUTE_PREFIX_FLAG))][-1].strip("/")
    path = f"/{prefix}" if prefix else ""
    return tuple(f"{scheme}://{address}{path}" for address in addresses for scheme in ("http", "https"))


def _given(arguments: Sequence[str], wanted: str) -> list[str]:
    """Return every value of a flag."""
    return [
        value if equals else following
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True)
        for flag, equals, value in [argument.partition("=")]
        if flag == wanted
    ]


def main_command_line() -> bytes:
    """Return the command line of process 1, in a container the daemon; nothing if it cannot be read."""
    try:
        return Path("/proc/1/cmdline").read_bytes()
    except OSError:
        return b""


def ask(
    urls: Sequence[str],
    *,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    is_closing_enough: bool = False,
) -> str | None:
    """Ask a daemon at each of ``urls`` until one answers; return None, or why none has answered.

    The daemon's certificate is not verified: it may not name ``localhost``, and nothing secret is sent.

    Args:
        urls: where it may listen.
        cert_file: a client's certificate, if the daemon asks for one.
        key_file: its key.
        is_closing_enough: whether a daemon works that closes a connection with TLS. It does this if it
            requires a client's certificate, which a container's own check does not have; one that hangs
            closes nothing.

    Raises:
        ValueError: a URL is not ``http://host[:port][/prefix]`` or the same with ``https``, or the client's
            certificate cannot be used.
    """
    context = _context(cert_file, key_file)
    wrong: list[str] = []
    for url in urls:
        path = f"{urlsplit(url).path.rstrip('/')}/-/healthy"
        problem = ""
        for connection in _connections(url, context):
            try:
                connection.request("GET", path)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as exc:
                if is_closing_enough and url.startswith("https:") and isinstance(exc, _CLOSED):
                    return None
                problem = f"{url} does not answer: {getattr(exc, 'strerror', None) or exc}"
            else:
                if status in _WORKS:
                    return None
                problem = f"{url} answers HTTP {status}"
            finally:
                connection.close()
        wrong.append(problem)
    return "; ".join(wrong)


def _connections(url: str, context: ssl.SSLContext) -> list[http.client.HTTPConnection]:
    """Return a connection to each address of the host, not opened yet."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"not an address of the exporter: {url!r}; write e.g. http://localhost:10910")
    # The loopback addresses themselves: a bare system may have no /etc/hosts to look localhost up in.
    hosts = ("127.0.0.1", "::1") if parts.hostname == "localhost" else (parts.hostname,)
    make: Callable[..., http.client.HTTPConnection] = http.client.HTTPConnection
    if parts.scheme == "https":
        make = partial(http.client.HTTPSConnection, context=context)
    try:
        # Without a port, http.client would look for one in the address itself.
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return [make(host, port, timeout=TIMEOUT_SECONDS) for host in hosts]
    except (ValueError, http.client.InvalidURL) as exc:
        raise ValueError(f"not an address of the exporter: {url!r}: {exc}") from exc


def _context(cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert_file is not None:
        from exporter.pem import load_chain, read_pem  # noqa: PLC0415 - few daemons ask for a certificate

        try:
            load_chain(context, read_pem(cert_file), None if key_file is None else read_pem(key_file))
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise ValueError(f"the client certificate cannot be used: {why}") from exc
    return context
