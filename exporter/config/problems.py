"""The problems of a configuration with their source locations, and the error that carries them.

* :class:`ConfigError`: fix the configuration; trying again with the same files changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

KeyPath = tuple[str | int, ...]
"""The way from the top of a file to a value: keys of mappings and indexes of lists."""

HIDDEN: Final = "[…]"
"""Stands in a path for a key that may be a piece of a secret."""
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
SECRET: Final = re.compile(r"(?:\$(?:2\w?|\d\d)\$|-----BEGIN ).*", re.DOTALL)
"""A hash of bcrypt, from its algorithm or its cost on, or a private key."""
PRIVATE_KEY: Final = "PRIVATE KEY-----"
"""In the first line of every private key in PEM form."""
# A key such as `password:hunter2` is a pair that lacks a space; what follows may be a secret.
_VALUE_IN_KEY: Final = re.compile(
    rf"(?:[:=]|(?<=password)\W|(?<=credentials)\W).*|{SECRET.pattern}", re.DOTALL
)
# The end of a password with a comma in it, written without quotation marks, reads as a key beside it.
_LOGINS: Final = frozenset({"basic_auth", "authorization", "oauth2"})
_LOGIN_KEYS: Final = frozenset(
    {
        *("username", "username_file", "username_ref", "password", "password_file", "password_ref"),
        *("type", "credentials", "credentials_file", "credentials_ref"),
        *("client_id", "client_secret", "client_secret_file", "client_secret_ref"),
        *("endpoint_params", "grant_type", "scopes", "tls_config", "token_url"),
        *("no_proxy", "proxy_connect_header", "proxy_from_environment", "proxy_url"),
    }
)
# A secret that begins with { reads as a mapping.
_SECRET_BELOW: Final = {
    **dict.fromkeys(
        ("username", "password", "credentials", "client_secret", "key", "proxy_url", "secrets"), 1
    ),
    **dict.fromkeys(("basic_auth_users", "endpoint_params", "proxy_connect_header"), 2),
}
"""How deep below each key everything is hidden: 1 for a secret; 2 for a mapping of secrets, whose names are
shown."""
_LONGEST_DISPLAYED: Final = 60
_DEEPEST_DISPLAYED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake, or one warning."""

    file: str
    line: int
    """Counted from 1; 0 for the file as a whole."""
    key: str
    message: str

    def __str__(self) -> str:
        """``config.yaml:12: clusters[3].address: a port is 1 to 65535``."""
        return ": ".join(part for part in self.logged().values() if part)

    def logged(self) -> dict[str, str]:
        """Return what a log line says of it, beside its phrase."""
        return {"source": _source(self.file, self.line), "key": self.key, "why": self.message}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SourceLocation:
    """Where a key stands."""

    file: str
    line: int
    """Counted from 1; 0 for the file as a whole."""
    path: KeyPath = ()

    def __str__(self) -> str:
        """``config.yaml:12``."""
        return _source(self.file, self.line)

    @property
    def key(self) -> str:
        """The path, written out."""
        return show_path(self.path)

    def problem(self, message: str) -> Problem:
        """Return a problem at this location."""
        return Problem(file=self.file, line=self.line, key=self.key, message=message)


@dataclass(slots=True, kw_only=True)
class Diagnostics:
    """The mistakes and warnings of one loading; the same one counts once."""

    errors: set[Problem] = field(default_factory=set)
    warnings: set[Problem] = field(default_factory=set)

    def error(self, location: SourceLocation, message: str) -> None:
        """Add a mistake."""
        self.errors.add(location.problem(message))

    def warn(self, location: SourceLocation, message: str) -> None:
        """Add a warning."""
        self.warnings.add(location.problem(message))


class ConfigError(Exception):
    """The configuration cannot be used; every problem that could be found, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        """Every problem on a line of its own."""
        return "\n".join(map(str, self.problems))


class BadValueError(ValueError):
    """A value is wrong; the text quotes it between ``before`` and ``after``."""

    def __init__(self, before: str, value: object, after: str = "") -> None:
        super().__init__(f"{before}{show_value(value)}{after}")
        self._before = before
        self._after = after

    def quoting(self, written: str) -> str:
        """Return the text with ``written`` quoted instead of the value, which may hold a secret."""
        return f"{self._before}{show_value(written)}{self._after}"


def _source(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file


def show_path(path: KeyPath) -> str:
    """Write a path as ``clusters[3].labels["dr site"]``; what may be a piece of a secret as ``[…]``."""
    shown, parent, secret_from = "", "", len(path)
    for depth, step in enumerate(path[:_DEEPEST_DISPLAYED]):
        if isinstance(step, int):
            shown += f"[{step}]"
            continue
        is_known = parent not in _LOGINS or step in _LOGIN_KEYS
        if step == HIDDEN or not is_known or depth >= secret_from:
            shown += HIDDEN
        elif _PLAIN_KEY.fullmatch(step) and len(step) <= _LONGEST_DISPLAYED:
            shown += f".{step}" if shown else step
        else:
            shown += f"[{show_key(step)}]"
        secret_from = min(secret_from, depth + _SECRET_BELOW.get(step, len(path)))
        parent = step
    return shown + ("…" if len(path) > _DEEPEST_DISPLAYED else "")


def show_key(key: str) -> str:
    """Write a key in quotation marks, without a value that may be glued to it."""
    return json.dumps(_shortened(_VALUE_IN_KEY.sub("…", key)), ensure_ascii=False)


def show_value(value: object) -> str:
    """Write a value that is no secret, in quotation marks where it is text, cut where it is long.

    A hash of a password or a private key, which stands where it does not belong, is left out.
    """
    return repr(_shortened(SECRET.sub("…", value))) if isinstance(value, str) else _shortened(str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_DISPLAYED else text[:_LONGEST_DISPLAYED] + "…"
