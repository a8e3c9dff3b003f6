"""Checks what one value by itself cannot show: exclusive keys, logins, timing, names, named files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from exporter.config import named_files
from exporter.config.database_url import SqliteUrl, passwords_of
from exporter.config.document import ExpandedText, has_variable
from exporter.config.merge import (
    CleanupConfig,
    ClusterConfig,
    Config,
    Layers,
    Section,
    cluster_config,
    policies_of,
    return_timeout_seconds,
    stale_after,
)
from exporter.config.named_files import NamedFiles, Verdict
from exporter.config.problems import BadValueError, Problem, SourceLocation, show_value
from exporter.config.schema import Cleanup, ClusterEntry, PolicyEntry, Shape
from exporter.config.values import fires, format_duration, guess_timezone, parse_timezone

_PROMETHEUS_LABELS: Final = frozenset({"job", "instance"})
_CHECKS_OF_FILES: Final = (
    (("basic_auth", "password_file"), named_files.check_password_file),
    (("authorization", "credentials_file"), named_files.check_credentials_file),
    (("tls_config", "ca_file"), named_files.check_authority),
    (("tls_config", "cert_file"), named_files.check_readable),
    (("tls_config", "key_file"), named_files.check_private_key),
)
_SECRETS: Final = (("basic_auth", "password"), ("authorization", "credentials"))
_HARDLY_MEANT: Final = timedelta(minutes=1)
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
    _check_exclusive(section, found)
    for name in section.model.labels.keys() & _PROMETHEUS_LABELS:
        message = "Prometheus sets this label, and keeps this one only with honor_labels: true"
        found.warn(section.location("labels", name), message)
    for (mapping, key), check in _CHECKS_OF_FILES:
        path = getattr(getattr(section.model, mapping), key, None)
        if path is not None:
            found.add_verdict(files.check(check, path), path, section, mapping, key)


def _check_exclusive(
    section: Section[Any], found: Diagnostics, model: Shape | None = None, *above: str
) -> None:
    model = section.model if model is None else model
    for pair in model.exclusive:
        if model.model_fields_set.issuperset(pair):
            first, second = sorted((section.location(*above, key) for key in pair), key=lambda one: one.line)
            message = f"{' and '.join(pair)} exclude each other; the other one is in line {first.line}"
            found.error(second, message)
    for name in model.model_fields_set:
        below = getattr(model, name)
        if isinstance(below, Shape):
            _check_exclusive(section, found, below, *above, name)


def check_cluster(layers: Layers, files: NamedFiles, found: Diagnostics) -> ClusterConfig | None:
    """Check what the layers of one cluster come to, and return it; ``None`` where there is no address."""
    if layers.own.model.address is None and not layers.own.is_broken("address"):
        found.error(layers.own.location(), "address is missing")
    _check_login(layers, found)
    _check_address(layers, found)
    if not layers.is_broken("tls_config"):
        _check_tls(layers, files, found)
    _check_timing(layers, found)
    return cluster_config(layers)


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
    return "address" if entry.model.name is None else "name"


def _name_of(entry: Section[Any]) -> str | None:
    """Return the name of a cluster or a policy; ``None`` where it has none."""
    name: str | None = entry.model.name
    if name is None and isinstance(entry.model, ClusterEntry) and not entry.is_broken("name"):
        return entry.model.address.host if entry.model.address else None
    return name


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


def check_cleanup(section: Section[Cleanup], found: Diagnostics) -> None:
    """Check everything under ``cleanup``."""
    if not section.is_broken("state") and isinstance(section.model.state, SqliteUrl):
        path = section.model.state.path
        found.add_verdict(NamedFiles().check(named_files.check_database, path), path, section, "state")
    policies = policies_of(section)
    if not policies and not section.is_broken("policies"):
        found.error(section.document.location(section.at("policies")), "at least one policy is expected")
    found.errors.update(problem for _, problem in name_conflicts(policies))
    for policy in policies:
        _check_policy(policy, found)


def check_choices(
    cleanup: CleanupConfig, section: Section[Cleanup], clusters: Sequence[ClusterConfig]
) -> Iterator[Problem]:
    """Yield a warning for every policy that applies to no cluster."""
    for policy, entry in zip(cleanup.policies, policies_of(section), strict=True):
        if not any(policy.applies_to(cluster) for cluster in clusters):
            yield entry.location("clusters").problem("matches no cluster")


def _check_policy(policy: Section[PolicyEntry], found: Diagnostics) -> None:
    model = policy.model
    if model.name is None and not policy.is_broken("name"):
        found.error(policy.location(), "name is missing")
    _check_exclusive(policy, found)
    for one, other in (("schedule", "every"), ("keep_newest", "older_than")):
        if not (policy.has(one) or policy.has(other) or policy.is_broken(one, other)):
            found.error(policy.location(), f"{one} or {other} is missing")
    if not policy.is_broken("clusters"):
        message = "must not be empty; leave it out where every cluster is meant"
        if policy.has("clusters") and not model.clusters.model_fields_set:
            found.error(policy.location("clusters"), message)
        if policy.has("clusters", "labels") and not model.clusters.labels:
            found.error(policy.location("clusters", "labels"), message)
    if not policy.is_broken("schedule", "every", "timezone"):
        _check_when(policy, found)


def _check_when(policy: Section[PolicyEntry], found: Diagnostics) -> None:
    model = policy.model
    if model.every is not None:
        if policy.has("timezone") and model.schedule is None:
            message = "a time zone is only for schedule; every counts from one run to the next"
            found.error(policy.location("timezone"), message)
        if model.every < _HARDLY_MEANT:
            message = (
                f"every ({format_duration(model.every)}) is shorter than {format_duration(_HARDLY_MEANT)}"
            )
            found.warn(policy.location("every"), message)
    if model.schedule is not None:
        _check_schedule(policy, model.schedule, found)


def _check_schedule(policy: Section[PolicyEntry], schedule: str, found: Diagnostics) -> None:
    name = policy.model.timezone
    shown = policy.displayed(name, "timezone")
    try:
        timezone = parse_timezone(name)
    except BadValueError as error:
        guess = guess_timezone(name)
        advice = f"did you mean {guess}?" if guess else "write an IANA name, e.g. Europe/Amsterdam"
        found.error(policy.location("timezone"), f"{error.quoting(shown)}; {advice}")
        return
    if not fires(schedule, timezone):
        fields = show_value(policy.displayed(schedule, "schedule"))
        message = f"never fires: no such day and time ever comes in {shown}: {fields}"
        found.error(policy.location("schedule"), message)


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
    if isinstance(section.model, Cleanup):
        written = section.document.value(section.at("state"))
        written = written.written if isinstance(written, ExpandedText) else written
        if isinstance(written, str) and not all(map(has_variable, passwords_of(written))):
            yield section.location("state")
        return
    for keys in _SECRETS:
        if section.has(*keys) and not isinstance(section.document.value(section.at(*keys)), ExpandedText):
            yield section.location(*keys)


def shared_state(config: Config) -> Problem | None:
    """Return a warning where processes with one configuration, a shard each, would share a file of SQLite."""
    section = config.sources.main.cleanup
    if section is None or not isinstance(section.model.state, SqliteUrl):
        return None
    written = section.document.value(section.at("state"))
    if isinstance(written, ExpandedText) and has_variable(written.written):
        return None
    return section.location("state").problem(
        "one process at a time holds a file of SQLite: share a database of PostgreSQL among the shards,"
        " or name the file after the shard, e.g. with ${POD_NAME}"
    )
