"""Checks what each section of a file says by itself, and what several of them have in common.

:mod:`~exporter.config.checking.cluster_checks` checks the merged layers of a cluster,
:mod:`~exporter.config.checking.cleanup_checks` the section ``cleanup``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from exporter.config.checking import named_files
from exporter.config.checking.named_files import CheckFile
from exporter.config.problems import PRIVATE_KEY, Diagnostics, KeyPath, Problem, SourceLocation, show_value
from exporter.config.reading.database_url import PostgresqlUrl
from exporter.config.reading.document import has_variable
from exporter.config.reading.proxy import secret_in_url
from exporter.config.schema import ClusterEntry, StrictModel
from exporter.config.sections import Section, walk
from exporter.ontap.cluster_settings import BasicLogin, Proxy, Secret

_PROMETHEUS_LABELS: Final = frozenset({"job", "instance"})
# A guess compares the name with every profile, which is too slow for thousands of wrong names.
_MOST_GUESSES: Final = 100


def check_settings(section: Section[Any], check_file: CheckFile, found: Diagnostics) -> None:
    """Check what the defaults, a profile or an entry says by itself."""
    check_section(section, check_file, found)
    for name in section.model.labels.keys() & _PROMETHEUS_LABELS:
        message = "Prometheus sets this label, and keeps this one only with honor_labels: true"
        found.warn(section.location("labels", name), message)


def check_section(section: Section[Any], check_file: CheckFile, found: Diagnostics) -> None:
    """Check that no keys exclude each other, that secrets mean what they say, and that files can be used."""
    for keys, value in walk(section.model):
        if "$$" in _written_secret(section, keys, value):
            found.warn(section.location(*keys), "$$ stands for one $, in a secret too; write $$$$ for two")
        if not isinstance(value, StrictModel):
            continue
        _check_exclusive(section, keys, value, found)
        for key, check in value.content_checks.items():
            for below, source in walk(getattr(value, key), (*keys, key)):
                if isinstance(source, Path | str):
                    section.add_file_check(found, check_file(check, source), source, *below)


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
    shown = show_value(entry.written(name, "profile"))
    return entry.location("profile").problem(f"no profile is named {shown}{guess}")


def name_conflicts(entries: Iterable[Section[Any]]) -> Iterator[tuple[Section[Any], Problem]]:
    """Yield every entry of a cluster or a policy whose name an earlier one has, with the mistake."""
    first: dict[str, Section[Any]] = {}
    for entry in entries:
        name = _name_of(entry)
        if name is not None and (other := first.setdefault(name, entry)) is not entry:
            shown = show_value(entry.written(name, _name_key(entry)))
            taken_at = other.location(_name_key(other))
            message = f"the name {shown} is taken: {taken_at}: {taken_at.key}"
            yield entry, entry.location(_name_key(entry)).problem(message)


def _name_key(entry: Section[Any]) -> str:
    return "name" if entry.model.name else "address"


def _name_of(entry: Section[Any]) -> str | None:
    """Return the name of a cluster or a policy; None where it has none."""
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


def check_permissions(files: Iterable[Path], sections: Iterable[Section[Any]], found: Diagnostics) -> None:
    """Warn of each file that everyone can write, or read where a secret itself stands in it."""
    first: dict[str, SourceLocation] = {}
    for section in sections:
        for keys, value in walk(section.model):
            secret = _written_secret(section, keys, value)
            if secret and not has_variable(secret):
                location = section.location(*keys)
                first[location.file] = min(
                    first.get(location.file, location), location, key=lambda one: one.line
                )
    for file in files:
        mode = named_files.permissions(file)
        secret_at = first.get(str(file))
        if secret_at is not None and (warning := named_files.secret_for_everyone(mode)) is not None:
            found.warn(secret_at, warning)
        elif (warning := named_files.file_for_everyone(mode)) is not None:
            found.warn(SourceLocation(file=str(file), line=0), warning)


def _written_secret(section: Section[Any], keys: KeyPath, value: object) -> str:
    """Return the secret in a value, as it is written in the file; "" if there is none."""
    match value:
        case Secret():
            return section.written(value.value, *keys)
        case Proxy(login=BasicLogin(username=username, password=password)):
            return secret_in_url(section.written(value.masked(password.value or username), *keys))
        case PostgresqlUrl() if value.masked("x") != value.masked(""):
            written = section.written(value.dsn, *keys)
            return secret_in_url(written) if value.has_password else written
        case str() if PRIVATE_KEY in value:
            return section.written(value, *keys)
        case _:
            return ""
