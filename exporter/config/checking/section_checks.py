"""Checks what each section of a file says by itself, and what several of them have in common.

:mod:`~exporter.config.checking.cluster_checks` checks the merged layers of a cluster,
:mod:`~exporter.config.checking.cleanup_checks` the section ``cleanup``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from exporter.config.checking import named_files
from exporter.config.checking.named_files import NamedFiles, Verdict
from exporter.config.problems import KeyPath, Problem, SourceLocation, show_value
from exporter.config.reading.database_url import PostgresqlUrl, passwords_of
from exporter.config.reading.document import has_variable
from exporter.config.reading.proxy import passwords_of_proxy
from exporter.config.schema import (
    Authorization,
    BasicAuth,
    ClusterEntry,
    HttpHeader,
    OAuth2,
    StrictModel,
    TlsConfig,
)
from exporter.config.sections import Section, walk
from exporter.ontap.endpoint import Proxy, Secret, check_credentials, check_header_value, check_password

_PROMETHEUS_LABELS: Final = frozenset({"job", "instance"})
_FILES: Final[Mapping[type[StrictModel], Mapping[str, Callable[..., str | None]]]] = MappingProxyType(
    {
        BasicAuth: {
            "username_file": named_files.check_username,
            "password_file": partial(named_files.check_secret, check=check_password),
        },
        Authorization: {"credentials_file": partial(named_files.check_secret, check=check_credentials)},
        OAuth2: {"client_secret_file": named_files.check_secret},
        TlsConfig: {
            "ca": named_files.check_authority,
            "ca_file": named_files.check_authority,
            "cert_file": named_files.check_readable,
            "key_file": named_files.check_private_key,
        },
        HttpHeader: {"files": partial(named_files.check_secret, check=check_header_value)},
    }
)
"""How a file that a mapping names is checked, and how the same is that stands in the mapping itself."""
_DOLLARS: Final = "$$ stands for one $, in a secret too; write $$$$ for two"
# A guess compares the name with every profile, which is too slow for thousands of wrong names.
_MOST_GUESSES: Final = 100


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

    def add_verdict(
        self, verdict: Verdict, source: Path | str, section: Section[Any], *keys: str | int
    ) -> None:
        """Add what is wrong with a file, or with what stands at a key instead, at this key."""
        shown = f": {section.displayed(source, *keys)}" if isinstance(source, Path) else ""
        if verdict.error is not None:
            self.error(section.location(*keys), f"{verdict.error}{shown}")
        if verdict.warning is not None:
            self.warn(section.location(*keys), f"{verdict.warning}{shown}")


def check_settings(section: Section[Any], files: NamedFiles, found: Diagnostics) -> None:
    """Check what the defaults, a profile or an entry says by itself."""
    check_section(section, found)
    for name in section.model.labels.keys() & _PROMETHEUS_LABELS:
        message = "Prometheus sets this label, and keeps this one only with honor_labels: true"
        found.warn(section.location("labels", name), message)
    for keys, mapping in walk(section.model):
        checks = _FILES.get(type(mapping), {}) if isinstance(mapping, StrictModel) else {}
        for key, check in checks.items():
            for below, source in walk(getattr(mapping, key), (*keys, key)):
                if isinstance(source, Path | str):
                    found.add_verdict(files.check(check, source), source, section, *below)


def check_section(section: Section[Any], found: Diagnostics) -> None:
    """Check that no two keys of a mapping exclude each other, and that a secret means what it says."""
    for keys, value in walk(section.model):
        if isinstance(value, StrictModel):
            _check_exclusive(section, keys, value, found)
        elif any("$$" in secret for secret in _secrets(section, keys, value)):
            found.warn(section.location(*keys), _DOLLARS)


def _check_exclusive(section: Section[Any], keys: KeyPath, model: StrictModel, found: Diagnostics) -> None:
    for pair in model.exclusive:
        if all(key in model.model_fields_set and getattr(model, key) for key in pair):
            first, second = sorted((section.location(*keys, key) for key in pair), key=lambda one: one.line)
            message = f"{' and '.join(pair)} exclude each other; the other one is in line {first.line}"
            found.error(second, message)


def unknown_profile(entry: Section[ClusterEntry], profiles: Collection[str], errors: int) -> Problem:
    """Return the mistake of an entry whose profile does not exist; without a guess after many ``errors``."""
    name = entry.model.profile or ""
    close = get_close_matches(name, profiles, n=1) if errors < _MOST_GUESSES else []
    guess = f"; did you mean {show_value(close[0])}?" if close else ""
    shown = show_value(entry.displayed(name, "profile"))
    return entry.location("profile").problem(f"no profile is named {shown}{guess}")


def name_conflicts(entries: Iterable[Section[Any]]) -> Iterator[tuple[Section[Any], Problem]]:
    """Yield every entry of a cluster or a policy whose name an earlier one has, with the mistake."""
    first: dict[str, Section[Any]] = {}
    for entry in entries:
        name = _name_of(entry)
        if name is not None and (other := first.setdefault(name, entry)) is not entry:
            shown = show_value(entry.displayed(name, _name_key(entry)))
            taken_at = other.location(_name_key(other))
            message = f"the name {shown} is taken: {taken_at}: {taken_at.key}"
            yield entry, entry.location(_name_key(entry)).problem(message)


def _name_key(entry: Section[Any]) -> str:
    return "name" if entry.model.name else "address"


def _name_of(entry: Section[Any]) -> str | None:
    """Return the name of a cluster or a policy; ``None`` where it has none."""
    if isinstance(entry.model, ClusterEntry) and not entry.is_broken("name"):
        return entry.model.effective_name
    return entry.model.name or None


def check_addresses(entries: Iterable[Section[ClusterEntry]], found: Diagnostics) -> None:
    """Warn of two clusters with one address."""
    first: dict[tuple[str, int], Section[ClusterEntry]] = {}
    for entry in entries:
        endpoint = entry.model.address
        if endpoint is not None:
            other = first.setdefault((endpoint.canonical_host, endpoint.port), entry)
            if other is not entry:
                same = other.location("address")
                found.warn(entry.location("address"), f"the same address as {same}: {same.key}")


def check_permissions(files: Iterable[Path], sections: Iterable[Section[Any]]) -> Iterator[Problem]:
    """Yield a warning for each file that everyone can write, or read where a secret itself stands in it."""
    secrets = (location for section in sections for location in _literal_secrets(section))
    first: dict[str, SourceLocation] = {}
    for location in sorted(secrets, key=lambda one: one.line):
        first.setdefault(location.file, location)
    for file in files:
        mode = named_files.permissions(file)
        secret = first.get(str(file))
        if secret is not None and (warning := named_files.secret_for_everyone(mode)) is not None:
            yield secret.problem(warning)
        elif (warning := named_files.file_for_everyone(mode)) is not None:
            yield Problem(file=str(file), line=0, key="", message=warning)


def _literal_secrets(section: Section[Any]) -> Iterator[SourceLocation]:
    """Yield where a secret itself stands in the file, and not only the name of an environment variable."""
    for keys, value in walk(section.model):
        if not all(map(has_variable, _secrets(section, keys, value))):
            yield section.location(*keys)


def _secrets(section: Section[Any], keys: KeyPath, value: object) -> list[str]:
    """Return the secrets in a value, as they are written in the file."""
    match value:
        case Secret():
            return [section.written(*keys)]
        case Proxy():
            return passwords_of_proxy(section.written(*keys))
        case PostgresqlUrl():
            return passwords_of(section.written(*keys))
        case _:
            return []
