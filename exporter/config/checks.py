"""Checks what one value by itself cannot show: exclusive keys, logins, timing, names, named files.

What stands under ``cleanup`` is checked by :mod:`exporter.config.cleanup_checks`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from exporter.config import named_files
from exporter.config.database_url import passwords_of
from exporter.config.document import ExpandedText, has_variable
from exporter.config.merge import cluster_settings, return_timeout_seconds, stale_after
from exporter.config.named_files import NamedFiles, Verdict
from exporter.config.problems import Problem, SourceLocation, show_value
from exporter.config.schema import CleanupConfig, ClusterEntry, Shape
from exporter.config.sections import Layers, Section
from exporter.config.values import format_duration
from exporter.ontap.endpoint import ClusterSettings

_PROMETHEUS_LABELS: Final = frozenset({"job", "instance"})
_CHECKS_OF_FILES: Final = (
    (("basic_auth", "password_file"), named_files.check_password_file),
    (("authorization", "credentials_file"), named_files.check_credentials_file),
    (("tls_config", "ca_file"), named_files.check_authority),
    (("tls_config", "cert_file"), named_files.check_readable),
    (("tls_config", "key_file"), named_files.check_private_key),
)
_SECRETS: Final = (("basic_auth", "password"), ("authorization", "credentials"))
# A guess compares with every profile: worth it for a slip of the pen, not for thousands of them.
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

    def add_verdict(self, verdict: Verdict, path: Path, section: Section[Any], *keys: str) -> None:
        """Add what is wrong with a file, at the key that names it."""
        shown = section.displayed(path, *keys)
        if verdict.error is not None:
            self.error(section.location(*keys), f"{verdict.error}: {shown}")
        if verdict.warning is not None:
            self.warn(section.location(*keys), f"{verdict.warning}: {shown}")


def check_settings(section: Section[Any], files: NamedFiles, found: Diagnostics) -> None:
    """Check what the defaults, a profile or an entry says by itself."""
    check_exclusive(section, found)
    for name in section.model.labels.keys() & _PROMETHEUS_LABELS:
        message = "Prometheus sets this label, and keeps this one only with honor_labels: true"
        found.warn(section.location("labels", name), message)
    for (mapping, key), check in _CHECKS_OF_FILES:
        path = getattr(getattr(section.model, mapping), key, None)
        if path is not None:
            found.add_verdict(files.check(check, path), path, section, mapping, key)


def check_exclusive(
    section: Section[Any], found: Diagnostics, model: Shape | None = None, *above: str
) -> None:
    """Check that no two keys exclude each other, in a mapping and in those below."""
    model = section.model if model is None else model
    for pair in model.exclusive:
        if model.model_fields_set.issuperset(pair):
            first, second = sorted((section.location(*above, key) for key in pair), key=lambda one: one.line)
            message = f"{' and '.join(pair)} exclude each other; the other one is in line {first.line}"
            found.error(second, message)
    for name in model.model_fields_set:
        below = getattr(model, name)
        if isinstance(below, Shape):
            check_exclusive(section, found, below, *above, name)


def check_cluster(layers: Layers, files: NamedFiles, found: Diagnostics) -> ClusterSettings | None:
    """Check what the layers of one cluster come to, and return it; ``None`` where there is no address."""
    if layers.own.model.address is None and not layers.own.is_broken("address"):
        found.error(layers.own.location(), "address is missing")
    _check_login(layers, found)
    _check_address(layers, found)
    if not layers.is_broken("tls_config"):
        _check_tls(layers, files, found)
    _check_timing(layers, found)
    return cluster_settings(layers.merged)


def _check_login(layers: Layers, found: Diagnostics) -> None:
    if layers.is_broken("basic_auth", "authorization"):
        return
    basic_auth, authorization = layers.merged.basic_auth, layers.merged.authorization
    if basic_auth is not None:
        location = layers.location(("basic_auth",))
        if basic_auth.username is None:
            found.error(location, "username is missing")
        if basic_auth.password is None and basic_auth.password_file is None:
            found.error(location, "password or password_file is missing")
    elif authorization is not None:
        if authorization.credentials is None and authorization.credentials_file is None:
            location = layers.location(("authorization",))
            found.error(location, "credentials or credentials_file is missing")
    elif layers.merged.tls_config.cert_file is None and not layers.is_broken("tls_config"):
        message = "no login: neither basic_auth nor authorization nor tls_config.cert_file"
        found.warn(layers.own.location(), message)


def _check_address(layers: Layers, found: Diagnostics) -> None:
    merged = layers.merged
    if merged.address is None or merged.address.scheme != "http" or layers.is_broken("allow_http"):
        return
    location = layers.location(("address",))
    if not merged.allow_http:
        found.error(location, "http:// is only for clusters with allow_http: true")
    elif merged.basic_auth is not None or merged.authorization is not None:
        found.warn(location, "http:// sends the login unencrypted")


def _check_tls(layers: Layers, files: NamedFiles, found: Diagnostics) -> None:
    tls = layers.merged.tls_config
    if tls.insecure_skip_verify:
        location = layers.location(("tls_config", "insecure_skip_verify"))
        found.warn(location, "the cluster's certificate is not verified")
    if tls.cert_file is None:
        if tls.key_file is not None:
            found.error(layers.location(("tls_config", "key_file")), "key_file without cert_file")
        return
    named = {tls.cert_file, tls.key_file or tls.cert_file}
    if any(files.check(named_files.check_readable, path).error for path in named):
        return
    key = ("tls_config", "cert_file")
    verdict = files.check(named_files.check_chain, tls.cert_file, tls.key_file)
    found.add_verdict(verdict, tls.cert_file, layers.nearest(key), *key)


def _check_timing(layers: Layers, found: Diagnostics) -> None:
    if layers.is_broken("poll_interval", "poll_timeout", "return_timeout", "stale_after"):
        return
    merged = layers.merged
    return_seconds, stale = return_timeout_seconds(merged), stale_after(merged)
    if merged.poll_timeout.total_seconds() <= return_seconds:
        timeout = format_duration(merged.poll_timeout)
        message = f"poll_timeout ({timeout}) must exceed return_timeout ({return_seconds} s)"
        found.error(layers.location(("poll_timeout",), ("return_timeout",)), message)
    if merged.poll_timeout > merged.poll_interval:
        timeout, interval = format_duration(merged.poll_timeout), format_duration(merged.poll_interval)
        message = (
            f"poll_timeout ({timeout}) exceeds poll_interval ({interval}): polls of a slow cluster come late"
        )
        found.warn(layers.location(("poll_timeout",), ("poll_interval",)), message)
    if stale < merged.poll_interval:
        message = (
            f"stale_after ({format_duration(stale)}) is shorter than poll_interval"
            f" ({format_duration(merged.poll_interval)}): series vanish between polls"
        )
        found.warn(layers.location(("stale_after",), ("poll_interval",)), message)


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
    name: str | None = entry.model.name
    if not name and isinstance(entry.model, ClusterEntry) and not entry.is_broken("name"):
        return entry.model.address.host if entry.model.address else None
    return name or None


def check_addresses(entries: Iterable[Section[ClusterEntry]], found: Diagnostics) -> None:
    """Warn of two clusters with one address."""
    first: dict[tuple[str, int], Section[ClusterEntry]] = {}
    for entry in entries:
        endpoint = entry.model.address
        if endpoint is not None:
            other = first.setdefault((endpoint.host.lower().rstrip("."), endpoint.port), entry)
            if other is not entry:
                same = other.location("address")
                found.warn(entry.location("address"), f"the same address as {same}: {same.key}")


def check_permissions(files: Iterable[Path], sections: Iterable[Section[Any]]) -> Iterator[Problem]:
    """Yield a warning for each file that everyone can write, or read where a secret itself stands in it."""
    secrets = (location for section in sections for location in _secrets(section))
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


def _secrets(section: Section[Any]) -> Iterator[SourceLocation]:
    """Yield where a secret itself stands in the file, and not only the name of an environment variable."""
    if isinstance(section.model, CleanupConfig):
        written = section.document.value(section.at("state"))
        written = written.written if isinstance(written, ExpandedText) else written
        if isinstance(written, str) and not all(map(has_variable, passwords_of(written))):
            yield section.location("state")
        return
    for keys in _SECRETS:
        if section.has(*keys) and not isinstance(section.document.value(section.at(*keys)), ExpandedText):
            yield section.location(*keys)
