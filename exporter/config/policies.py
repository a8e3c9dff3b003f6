"""From layers to the policies of cleanup: defaults filled in, then what takes more than one value to tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from exporter.config.checks import Findings, add_verdict, exclusive_keys, label_names
from exporter.config.durations import format_duration
from exporter.config.files import FileChecks
from exporter.config.layers import DEFAULT_TIMEZONE, Layer, built_in_policy
from exporter.config.model import CleanupConfig, ClusterConfig, Config, PolicyConfig
from exporter.config.problems import BadValueError, Place, Problem, show_value
from exporter.config.schedules import fires, guess_timezone, parse_timezone
from exporter.config.state import is_told_apart, state_file

_HARDLY_MEANT: Final = timedelta(minutes=1)
# A guess compares with every time zone there is, and what never fires is searched for in 50 years.
_MOST_SEARCHES: Final = 100


def resolve_cleanup(
    settings: Layer, policies: Sequence[Layer], clusters: Iterable[ClusterConfig], findings: Findings
) -> CleanupConfig:
    """Check everything under ``cleanup``; what comes back counts only where no error was found."""
    state = settings.secret("state")
    url = "" if state is None else state.read()
    path = state_file(url)
    if path is not None and "state" not in settings.broken:
        add_verdict(FileChecks().database(path), path, settings, ("state",), findings)
    _check_unique(policies, findings)
    for entry in policies:
        _check_policy(entry, findings)
    cleanup = CleanupConfig(
        state=url,
        max_concurrent_clusters=settings.number("max_concurrent_clusters"),
        policies=tuple(_policy(entry) for entry in policies),
    )
    if not findings.errors:
        _check_choices(cleanup, policies, tuple(clusters), findings)
    return cleanup


def shared_state(config: Config) -> Problem | None:
    """Return a warning where processes with one configuration, a shard each, would all have one state."""
    settings = config.written.cleanup
    if settings is None:
        return None
    written = settings.settings["state",].written
    if written is not None and is_told_apart(written):
        return None
    return settings.place_of(("state",)).problem(
        "every shard needs a state of its own, since a state belongs to one process at a time;"
        " name it after the shard, e.g. with ${POD_NAME}"
    )


def _policy(entry: Layer) -> PolicyConfig:
    layer = built_in_policy().merged_with(entry)
    labels = ((name, str(setting.value)) for name, setting in layer.labels("clusters"))
    return PolicyConfig(
        name=layer.text("name") or "",
        cluster_names=layer.texts("clusters", "names"),
        cluster_labels=tuple(sorted(labels)),
        schedule=layer.text("schedule"),
        every=layer.duration("every") if layer.has("every") else None,
        timezone=layer.text("timezone") or DEFAULT_TIMEZONE,
        keep_newest=layer.number("keep_newest") if layer.has("keep_newest") else None,
        older_than=layer.duration("older_than") if layer.has("older_than") else None,
        include=layer.texts("include"),
        exclude=layer.texts("exclude"),
        max_deletes_per_run=layer.number("max_deletes_per_run"),
        dry_run=layer.truth("dry_run"),
        return_timeout_seconds=layer.number("return_timeout"),
        job_timeout=layer.duration("job_timeout"),
        retry_busy_for=layer.duration("retry_busy_for"),
        position=layer.place.position,
    )


def _check_policy(entry: Layer, findings: Findings) -> None:
    findings.errors.update(exclusive_keys(entry))
    findings.errors.update(label_names(entry, "clusters"))
    is_said = {key[0] for key in entry.settings} | entry.broken
    if not is_said & {"schedule", "every"}:
        findings.errors.add(entry.place.problem("schedule or every is missing"))
    if not is_said & {"keep_newest", "older_than"}:
        findings.errors.add(entry.place.problem("keep_newest or older_than is missing"))
    if "clusters" not in entry.broken:
        _check_choice_is_made(entry, findings)
    _check_timing(entry, findings)


def _check_choice_is_made(entry: Layer, findings: Findings) -> None:
    for mapping in (("clusters",), ("clusters", "labels")):
        below = [key for key in entry.settings if key[: len(mapping)] == mapping and key != mapping]
        if entry.has(*mapping) and not below:
            message = "must not be empty; leave it out where every cluster is meant"
            findings.errors.add(entry.place_of(mapping).problem(message))


def _check_timing(entry: Layer, findings: Findings) -> None:
    if entry.broken & {"schedule", "every", "timezone"}:
        return
    if entry.has("every"):
        _check_every(entry, findings)
    if entry.has("schedule"):
        _check_schedule(entry, findings)


def _check_every(entry: Layer, findings: Findings) -> None:
    if entry.has("timezone") and not entry.has("schedule"):
        message = "a time zone is only for schedule; every counts from one run to the next"
        findings.errors.add(entry.place_of(("timezone",)).problem(message))
    every = entry.duration("every")
    if every < _HARDLY_MEANT:
        message = f"every ({format_duration(every)}) is shorter than {format_duration(_HARDLY_MEANT)}"
        findings.warnings.add(entry.place_of(("every",)).problem(message))


def _check_schedule(entry: Layer, findings: Findings) -> None:
    is_cheap = len(findings.errors) < _MOST_SEARCHES
    schedule = entry.text("schedule") or ""
    name = entry.text("timezone") or DEFAULT_TIMEZONE
    try:
        timezone = parse_timezone(name)
    except BadValueError as error:
        guess = guess_timezone(name) if is_cheap else None
        advice = f"did you mean {guess}?" if guess else "write an IANA name, e.g. Europe/Amsterdam"
        what = error.quoting(entry.told(name, "timezone"))
        findings.errors.add(entry.place_of(("timezone",)).problem(f"{what}; {advice}"))
        return
    if is_cheap and not fires(schedule, timezone):
        zone, fields = entry.told(name, "timezone"), show_value(entry.told(schedule, "schedule"))
        message = f"never fires: no such day and time ever comes in {zone}: {fields}"
        findings.errors.add(entry.place_of(("schedule",)).problem(message))


def _check_unique(policies: Iterable[Layer], findings: Findings) -> None:
    names: dict[str, Place] = {}
    for entry in policies:
        name = entry.text("name")
        if name is not None:
            place = entry.place_of(("name",))
            other = names.setdefault(name, place)
            if other is not place:
                message = (
                    f"the name {show_value(entry.told(name, 'name'))} is taken: {other.position}: {other.key}"
                )
                findings.errors.add(place.problem(message))


def _check_choices(
    cleanup: CleanupConfig, entries: Iterable[Layer], clusters: Sequence[ClusterConfig], findings: Findings
) -> None:
    for policy, entry in zip(cleanup.policies, entries, strict=True):
        if not any(policy.applies_to(cluster) for cluster in clusters):
            findings.warnings.add(entry.place_of(("clusters",)).problem("matches no cluster"))
