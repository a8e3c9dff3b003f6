"""Where the state of cleanup is kept: a file of SQLite, or a database of PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus

from exporter.config.address import parse_host
from exporter.config.scalars import has_variable

DEFAULT_STATE: Final = "sqlite:///state.db"

_SQLITE: Final = "sqlite:///"
_POSTGRESQL: Final = "postgresql://"
_IN_MEMORY: Final = frozenset({"sqlite://", _SQLITE, f"{_SQLITE}:memory:"})
_UNSAFE: Final = re.compile(r"[\s\0-\x1f\x7f-\x9f]|%(?![0-9A-Fa-f]{2})|%00")
_NOT_IN_PATHS: Final = re.compile(r"[?%\0-\x1f\x7f-\x9f]")
_SERVER: Final = re.compile(
    r"""postgresql://
    (?:(?P<user>[^:/?\#@\[\]]+)(?P<password>:[^/?\#@\[\]]+)?@)?
    (?P<hosts>[^/?\#@]*)
    /(?P<database>[^/?\#@]+)
    (?:\?(?P<parameters>[^\#@=&]+=[^\#@&]*(?:&[^\#@=&]+=[^\#@&]*)*))?""",
    re.VERBOSE,
)
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT: Final = 65535
# Shown as they are; what another parameter of a connection holds may be a secret.
_OPEN_PARAMETERS: Final = frozenset(
    {
        "application_name",
        "connect_timeout",
        "database",
        "dbname",
        "host",
        "passfile",
        "port",
        "search_path",
        "service",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "user",
    }
)
_PASSWORDS: Final = frozenset({"password", "sslpassword"})


def check_state(url: str) -> str:
    """Return the URL of a state that outlasts the program.

    Raises:
        ValueError: it is none; the message holds nothing of it, since there may be a password in it.
    """
    if url in _IN_MEMORY:
        raise ValueError("a state outlasts the program: a file is expected; write sqlite:///state.db")
    if url.startswith(_SQLITE):
        return _check_file(url)
    if url.startswith("sqlite://"):
        raise ValueError("sqlite has no host; write sqlite:///state.db, or sqlite:////folder/state.db")
    if url.startswith(_POSTGRESQL):
        return _check_server(url)
    raise ValueError("write sqlite:///state.db or postgresql://user@host/database")


def is_told_apart(written: str) -> bool:
    """Tell whether environment variables can make a URL, as it was written, that of several states.

    One that is only a password, or part of one, cannot.
    """
    match = _SERVER.fullmatch(written)
    if match is not None and match["parameters"] is not None:
        parameters = match["parameters"].split("&")
        telling = (one for one in parameters if one.partition("=")[0] not in _PASSWORDS)
        written = f"{written[: match.start('parameters')]}{'&'.join(telling)}"
    if match is not None and match["password"] is not None:
        written = f"{written[: match.start('password')]}{written[match.end('password') :]}"
    return has_variable(written)


def passwords_of(url: str) -> list[str]:
    """Return the passwords in a good URL, or in one as it was written."""
    match = _SERVER.fullmatch(url)
    if match is None:
        return []
    parameters = (one.partition("=") for one in (match["parameters"] or "").split("&"))
    return [
        value
        for name, _, value in [("password", "", match["password"]), *parameters]
        if name in _PASSWORDS and value
    ]


def absolute_state(url: str, folder: Path) -> str:
    """Return a good URL with the path of its file, where it has one, made absolute from ``folder``."""
    path = url.removeprefix(_SQLITE)
    return url if path == url else f"{_SQLITE}{folder / path}"


def state_file(url: str) -> Path | None:
    """Return the file of a good URL, or ``None`` where the state is kept by a server."""
    path = url.removeprefix(_SQLITE)
    return None if path == url else Path(path)


def masked_state(url: str, mask: str) -> str:
    """Return a good URL with ``mask`` in place of what may be secret in it."""
    match = _SERVER.fullmatch(url)
    if match is None:
        return url
    parameters = match["parameters"]
    if parameters is not None:
        shown = "&".join(_masked_parameter(parameter, mask) for parameter in parameters.split("&"))
        url = f"{url[: match.start('parameters')]}{shown}"
    if match["password"] is not None:
        url = f"{url[: match.start('password')]}:{mask}{url[match.end('password') :]}"
    return url


def _masked_parameter(parameter: str, mask: str) -> str:
    name = parameter.partition("=")[0]
    return parameter if unquote_plus(name) in _OPEN_PARAMETERS else f"{name}={mask}"


def _check_file(url: str) -> str:
    path = url.removeprefix(_SQLITE)
    if _NOT_IN_PATHS.search(path):
        raise ValueError("the path of a state holds neither ? nor % nor a control character")
    if path.rpartition("/")[2] in ("", ".", ".."):
        raise ValueError("a file is expected, not a folder; write sqlite:////folder/state.db")
    return url


def _check_server(url: str) -> str:
    match = _SERVER.fullmatch(url)
    if match is None or _UNSAFE.search(url):
        raise ValueError(
            "write postgresql://user:password@host:port/database; in a password,"
            " %40 for @ and so on for all that is neither a letter nor a digit"
        )
    for host in match["hosts"].split(",") if match["hosts"] else ():
        _check_host(host)
    return url


def _check_host(text: str) -> None:
    match = _HOST.fullmatch(text)
    try:
        parse_host("" if match is None else match["host"].strip("[]"))
    except ValueError:
        raise ValueError("behind postgresql://, neither a host name nor an IP address") from None
    if match is not None and match["port"] is not None and not 1 <= int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError(f"a port is a number from 1 to {_HIGHEST_PORT}")
