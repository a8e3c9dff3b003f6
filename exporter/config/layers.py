"""Settings in layers: what is built in, then ``defaults``, then a profile, then a cluster's own entry.

A layer is flat, one setting for every key that was written, so that merging is one rule for all of them and
every setting still knows where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from exporter.config.durations import LONGEST
from exporter.config.problems import Place, Position
from exporter.config.state import DEFAULT_STATE, absolute_state
from exporter.ontap.endpoint import Endpoint, Secret, TlsVersion

Key = tuple[str, ...]
"""``("poll_interval",)``, ``("basic_auth", "username")``, and for the mapping itself ``("basic_auth",)``."""


class Marker(Enum):
    """What stands for something that has no value of its own."""

    MAPPING = auto()  # a mapping was written here; its keys are settings of their own


Value = str | int | bool | timedelta | Path | Secret | Endpoint | tuple[str, ...] | Marker


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value, and where it was written."""

    value: Value
    place: Place
    rank: int = -1
    """0 in ``defaults``, 1 in a profile, 2 in a cluster's entry."""
    written: str | None = None
    """What stands in the file, where the value holds environment variables: messages quote this instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one mapping of settings says, or several of them merged."""

    place: Place
    """Of the mapping; of the last one where several are merged."""
    settings: Mapping[Key, Setting] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    """Keys with a mistake in them that has been reported: what they would mean is not known."""

    def merged_with(self, over: Layer) -> Layer:
        """Return this layer with what ``over`` says put over it."""
        dropped = [_REPLACES[key] for key in over.settings if key in _REPLACES]
        kept = {
            key: setting
            for key, setting in self.settings.items()
            if not any(key[: len(prefix)] == prefix for prefix in dropped)
        }
        return Layer(place=over.place, settings=kept | dict(over.settings), broken=self.broken | over.broken)

    def has(self, *key: str) -> bool:
        """Tell whether anything was said about ``key``."""
        return key in self.settings

    def place_of(self, *keys: Key) -> Place:
        """Return the place of the one of these keys that was said last, or else that of the mapping."""
        said = [self.settings[key] for key in keys if key in self.settings]
        written = [setting for setting in said if setting.rank >= 0]
        return max(written, key=lambda setting: setting.rank).place if written else self.place

    def told(self, value: object, *key: str) -> str:
        """Return ``value``, which ``key`` stands for, as a message may tell it: no environment variable's."""
        setting = self.settings.get(key)
        return str(value) if setting is None or setting.written is None else setting.written

    def text(self, *key: str) -> str | None:
        """Return a text, or ``None`` where nothing was said."""
        return cast("str | None", self._value(key))

    def number(self, *key: str) -> int:
        """Return a number that is built in, if nowhere else."""
        return cast("int", self._value(key))

    def truth(self, *key: str) -> bool:
        """Return a truth value that is built in, if nowhere else."""
        return cast("bool", self._value(key))

    def duration(self, *key: str) -> timedelta:
        """Return a duration that is built in, if nowhere else."""
        return cast("timedelta", self._value(key))

    def file(self, *key: str) -> Path | None:
        """Return an absolute path, or ``None`` where nothing was said."""
        return cast("Path | None", self._value(key))

    def secret(self, *key: str) -> Secret | None:
        """Return a secret written in place, or ``None`` where nothing was said."""
        return cast("Secret | None", self._value(key))

    def endpoint(self) -> Endpoint | None:
        """Return the address, or ``None`` where there is none that could be read."""
        return cast("Endpoint | None", self._value(("address",)))

    def tls_version(self) -> TlsVersion:
        """Return the lowest TLS version."""
        return cast("TlsVersion", self._value(("tls_config", "min_version")))

    def stale_after(self) -> timedelta:
        """Return ``stale_after``, which follows ``poll_interval`` where nothing was said."""
        if self.has("stale_after"):
            return self.duration("stale_after")
        return min(_STALE_AFTER_POLLS * self.duration("poll_interval"), LONGEST)

    def return_timeout_seconds(self) -> int:
        """Return ``return_timeout``, which stays below ``poll_timeout`` where nothing was said."""
        setting = self.settings[("return_timeout",)]
        seconds = cast("int", setting.value)
        if setting.rank >= 0:
            return seconds
        return min(seconds, ceil(self.duration("poll_timeout").total_seconds()) - 1)

    def texts(self, *key: str) -> tuple[str, ...]:
        """Return a list of texts; an empty one where nothing was said."""
        return cast("tuple[str, ...]", self._value(key) or ())

    def labels(self, *above: str) -> Iterator[tuple[str, Setting]]:
        """Yield the labels in the mapping ``above``, in the order in which they were written."""
        prefix = (*above, "labels")
        depth = len(prefix)
        return (
            (key[depth], setting)
            for key, setting in self.settings.items()
            if key[:depth] == prefix and len(key) > depth
        )

    def _value(self, key: Key) -> Value | None:
        setting = self.settings.get(key)
        return None if setting is None else setting.value


_REPLACES: Final[Mapping[Key, Key]] = MappingProxyType(
    {
        ("basic_auth",): ("authorization",),
        ("authorization",): ("basic_auth",),
        ("basic_auth", "password"): ("basic_auth", "password_file"),
        ("basic_auth", "password_file"): ("basic_auth", "password"),
        ("authorization", "credentials"): ("authorization", "credentials_file"),
        ("authorization", "credentials_file"): ("authorization", "credentials"),
    }
)
"""What a later layer says in place of what an earlier one says."""

_STALE_AFTER_POLLS: Final = 3

EXCLUSIVE: Final[tuple[tuple[Key, Key], ...]] = (
    *(pair for pair in _REPLACES.items() if pair[0] < pair[1]),
    (("schedule",), ("every",)),
)
"""What one mapping cannot say at once."""

_BUILT_IN: Final[Mapping[Key, Value]] = MappingProxyType(
    {
        ("poll_interval",): timedelta(minutes=5),
        ("poll_timeout",): timedelta(minutes=1),
        ("return_timeout",): 15,
        ("max_records",): 500,
        ("tls_config", "insecure_skip_verify"): False,
        ("tls_config", "min_version"): TlsVersion.TLS12,
        ("allow_http",): False,
    }
)
_BUILT_IN_POLICY: Final[Mapping[Key, Value]] = MappingProxyType(
    {
        ("include",): ("*",),
        ("exclude",): (),
        ("max_deletes_per_run",): 5,
        ("dry_run",): True,
        ("return_timeout",): 0,
        ("job_timeout",): timedelta(minutes=30),
        ("retry_busy_for",): timedelta(minutes=30),
    }
)
DEFAULT_TIMEZONE: Final = "UTC"
DEFAULT_MAX_CONCURRENT_CLUSTERS: Final = 4
DEFAULT_MAX_CONCURRENT_POLLS: Final = 64
DEFAULT_AUTHORIZATION_TYPE: Final = "Bearer"


def built_in() -> Layer:
    """Return the layer under all others."""
    return _from_nowhere(_BUILT_IN)


def built_in_policy() -> Layer:
    """Return the layer under a policy."""
    return _from_nowhere(_BUILT_IN_POLICY)


def built_in_cleanup(folder: Path) -> Layer:
    """Return the layer under ``cleanup`` in a file that stands in ``folder``."""
    return _from_nowhere(
        {
            ("state",): Secret(value=absolute_state(DEFAULT_STATE, folder)),
            ("max_concurrent_clusters",): DEFAULT_MAX_CONCURRENT_CLUSTERS,
        }
    )


def _from_nowhere(values: Mapping[Key, Value]) -> Layer:
    nowhere = Place(position=Position(file="", line=0), path=())
    return Layer(
        place=nowhere, settings={key: Setting(value=value, place=nowhere) for key, value in values.items()}
    )
