"""From layers to clusters: merge, then check what only the merged settings can tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from exporter.config.checks import Findings, add_verdict, check_layer
from exporter.config.durations import format_duration
from exporter.config.files import FileChecks
from exporter.config.layers import Layer, built_in
from exporter.config.login import login_of
from exporter.config.model import ClusterConfig, Written
from exporter.config.problems import Place, show_value
from exporter.ontap.endpoint import Login, Tls

# A guess compares with every profile: worth it for a slip of the pen, not for thousands of them.
_LONGEST_GUESSED: Final = 64
_MOST_GUESSED_FROM: Final = 1000
_MOST_GUESSES: Final = 100


def resolve(
    written: Written, findings: Findings, *, latest: Collection[str] = ()
) -> tuple[ClusterConfig, ...]:
    """Check and merge everything; what comes back counts only where no error was found.

    Where two files do not go together, the mistake is found in the one of the two that is in ``latest``.
    """
    files = FileChecks()
    entries = written.entries
    for layer in (written.defaults, *written.profiles.values(), *entries):
        check_layer(layer, files, findings)
    _check_unique(sorted(entries, key=lambda entry: entry.place.position.file in latest), findings)
    _check_unused(written.profiles, entries, findings)
    defaults = built_in().merged_with(written.defaults)
    bases = {name: defaults.merged_with(profile) for name, profile in written.profiles.items()}
    clusters = []
    for entry in entries:
        is_latest = entry.place.position.file in latest
        own = Findings(warnings=findings.warnings) if is_latest else findings
        profile = entry.text("profile")
        base = defaults if profile is None else bases.get(profile)
        if base is None:
            _report_unknown_profile(entry, bases, own)
        elif "profile" not in entry.broken:
            cluster = _cluster(base.merged_with(entry), files, own)
            clusters += [] if cluster is None else [cluster]
        if is_latest:
            # What the entry lacks may be missed where a profile or the defaults stand, in another file.
            findings.errors.update(
                problem if problem.file in latest else entry.place.problem(str(problem))
                for problem in own.errors
            )
    return tuple(clusters)


def _cluster(layer: Layer, files: FileChecks, findings: Findings) -> ClusterConfig | None:
    login, problems = login_of(layer)
    findings.errors.update(problems)
    tls = _tls(layer, files, findings)
    _check_login(layer, login, findings)
    _check_timing(layer, findings)
    endpoint = layer.endpoint()
    if endpoint is None:
        return None
    return ClusterConfig(
        name=layer.text("name") or endpoint.host,
        endpoint=endpoint,
        login=login,
        tls=tls,
        labels=tuple(sorted((name, str(setting.value)) for name, setting in layer.labels())),
        poll_interval=layer.duration("poll_interval"),
        poll_timeout=layer.duration("poll_timeout"),
        stale_after=layer.stale_after(),
        return_timeout_seconds=layer.return_timeout_seconds(),
        max_records=layer.number("max_records"),
        profile=layer.text("profile"),
        position=layer.place.position,
    )


def _tls(layer: Layer, files: FileChecks, findings: Findings) -> Tls:
    tls = Tls(
        ca_file=layer.file("tls_config", "ca_file"),
        cert_file=layer.file("tls_config", "cert_file"),
        key_file=layer.file("tls_config", "key_file"),
        server_name=layer.text("tls_config", "server_name"),
        insecure_skip_verify=layer.truth("tls_config", "insecure_skip_verify"),
        min_version=layer.tls_version(),
    )
    if "tls_config" in layer.broken:
        return tls
    if tls.insecure_skip_verify:
        place = layer.place_of(("tls_config", "insecure_skip_verify"))
        findings.warnings.add(place.problem("the cluster's certificate is not verified"))
    if tls.cert_file is None:
        if tls.key_file is not None:
            place = layer.place_of(("tls_config", "key_file"))
            findings.errors.add(place.problem("key_file without cert_file"))
    elif not any(
        verdict.error
        for verdict in (
            files.readable(tls.cert_file),
            files.readable(tls.key_file or tls.cert_file),
        )
    ):
        verdict = files.certificate_chain(tls.cert_file, tls.key_file)
        add_verdict(verdict, tls.cert_file, layer, ("tls_config", "cert_file"), findings)
    return tls


def _check_login(layer: Layer, login: Login, findings: Findings) -> None:
    endpoint = layer.endpoint()
    if endpoint is not None and endpoint.scheme == "http" and "allow_http" not in layer.broken:
        place = layer.place_of(("address",))
        if not layer.truth("allow_http"):
            findings.errors.add(place.problem("http:// is only for clusters with allow_http: true"))
        elif login is not None:
            findings.warnings.add(place.problem("http:// sends the login unencrypted"))
    is_known = not layer.broken & {"basic_auth", "authorization", "tls_config"}
    if is_known and login is None and not layer.has("tls_config", "cert_file"):
        message = "no login: neither basic_auth nor authorization nor tls_config.cert_file"
        findings.warnings.add(layer.place.problem(message))


def _check_timing(layer: Layer, findings: Findings) -> None:
    if layer.broken & {"poll_interval", "poll_timeout", "return_timeout", "stale_after"}:
        return
    interval, timeout = layer.duration("poll_interval"), layer.duration("poll_timeout")
    return_seconds, stale_after = layer.return_timeout_seconds(), layer.stale_after()
    if timeout.total_seconds() <= return_seconds:
        place = layer.place_of(("poll_timeout",), ("return_timeout",))
        message = f"poll_timeout ({format_duration(timeout)}) must exceed return_timeout ({return_seconds} s)"
        findings.errors.add(place.problem(message))
    if timeout > interval:
        place = layer.place_of(("poll_timeout",), ("poll_interval",))
        message = (
            f"poll_timeout ({format_duration(timeout)}) exceeds poll_interval ({format_duration(interval)}):"
            " polls of a slow cluster come late"
        )
        findings.warnings.add(place.problem(message))
    if stale_after < interval:
        place = layer.place_of(("stale_after",), ("poll_interval",))
        message = (
            f"stale_after ({format_duration(stale_after)}) is shorter than poll_interval"
            f" ({format_duration(interval)}): series vanish between polls"
        )
        findings.warnings.add(place.problem(message))


def _check_unique(clusters: Iterable[Layer], findings: Findings) -> None:
    names: dict[str, Place] = {}
    addresses: dict[str, Place] = {}
    for entry in clusters:
        endpoint = entry.endpoint()
        name = entry.text("name") or (endpoint.host if endpoint and "name" not in entry.broken else None)
        if name is not None:
            key = "name" if entry.has("name") else "address"
            place = entry.place_of((key,))
            other = names.setdefault(name, place)
            if other is not place:
                message = (
                    f"the name {show_value(entry.told(name, key))} is taken: {other.position}: {other.key}"
                )
                findings.errors.add(place.problem(message))
                findings.conflicts.add(place.problem(message))
        if endpoint is not None:
            place = entry.place_of(("address",))
            other = addresses.setdefault(f"{endpoint.host.lower().rstrip('.')} {endpoint.port}", place)
            if other is not place:
                message = f"the same address as {other.position}: {other.key}"
                findings.warnings.add(place.problem(message))


def _check_unused(profiles: Mapping[str, Layer], entries: Iterable[Layer], findings: Findings) -> None:
    used = {entry.text("profile") for entry in entries}
    for name, profile in profiles.items():
        if name not in used:
            findings.warnings.add(profile.place.problem("no cluster uses this profile"))


def _report_unknown_profile(entry: Layer, profiles: Collection[str], findings: Findings) -> None:
    name = entry.text("profile") or ""
    is_cheap = len(profiles) <= _MOST_GUESSED_FROM and len(findings.errors) < _MOST_GUESSES
    close = get_close_matches(name, profiles, n=1) if is_cheap and len(name) <= _LONGEST_GUESSED else []
    guess = f"; did you mean {show_value(close[0])}?" if close else ""
    place = entry.place_of(("profile",))
    told = show_value(entry.told(name, "profile"))
    findings.errors.add(place.problem(f"no profile is named {told}{guess}"))
