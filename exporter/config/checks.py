"""What one layer by itself can get wrong: keys that exclude each other, labels, files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from exporter.config.files import FileChecks, Verdict
from exporter.config.layers import EXCLUSIVE, Key, Layer
from exporter.config.login import check_credentials, check_password
from exporter.config.problems import Problem, show_key

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS: Final = frozenset(
    {
        "cluster",
        "name",
        "uuid",
        "ontap_version",
        "version",
        "reason",
        "policy",
        "outcome",
        "code",
        "method",
        "le",
    }
)
_PROMETHEUS_LABELS: Final = frozenset({"job", "instance"})


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was found, gathered over all checks of one loading; the same finding counts once."""

    errors: set[Problem] = field(default_factory=set)
    warnings: set[Problem] = field(default_factory=set)
    conflicts: set[Problem] = field(default_factory=set)
    """Those of the errors that take two clusters: without the one, the other may be good."""


def check_layer(layer: Layer, files: FileChecks, findings: Findings) -> None:
    """Check what one mapping says."""
    findings.errors.update(exclusive_keys(layer))
    _check_labels(layer, findings)
    looks: Mapping[Key, Callable[[Path], Verdict]] = {
        ("basic_auth", "password_file"): partial(files.secret, check=check_password),
        ("authorization", "credentials_file"): partial(files.secret, check=check_credentials),
        ("tls_config", "ca_file"): files.certificate_authority,
        ("tls_config", "cert_file"): files.readable,
        ("tls_config", "key_file"): files.private_key,
    }
    for key, look in looks.items():
        path = layer.file(*key)
        if path is not None:
            add_verdict(look(path), path, layer, key, findings)


def add_verdict(verdict: Verdict, path: Path, layer: Layer, key: Key, findings: Findings) -> None:
    """Add what is wrong with a file to the findings, at the key that names it."""
    place = layer.place_of(key)
    if verdict.error is not None:
        findings.errors.add(place.problem(f"{verdict.error}: {layer.told(path, *key)}"))
    if verdict.warning is not None:
        findings.warnings.add(place.problem(f"{verdict.warning}: {layer.told(path, *key)}"))


def exclusive_keys(layer: Layer) -> Iterator[Problem]:
    """Yield a problem for each two keys of one mapping that exclude each other."""
    for pair in EXCLUSIVE:
        if all(key in layer.settings for key in pair):
            first, second = sorted(
                (layer.settings[key].place for key in pair), key=lambda place: place.position
            )
            names = " and ".join(key[-1] for key in pair)
            yield second.problem(
                f"{names} exclude each other; the other one is in line {first.position.line}"
            )


def label_names(layer: Layer, *above: str) -> Iterator[Problem]:
    """Yield a problem for each label, in the mapping ``above``, that no cluster can have."""
    for name, setting in layer.labels(*above):
        if not _LABEL_NAME.fullmatch(name):
            message = "a label's name is made of letters, digits and _, and begins with no digit"
            yield setting.place.problem(f"{message}: {show_key(name)}")
        elif name.startswith("__"):
            yield setting.place.problem("a label's name that begins with __ is Prometheus's own")
        elif name in _OWN_LABELS:
            yield setting.place.problem("the exporter itself sets this label")


def _check_labels(layer: Layer, findings: Findings) -> None:
    findings.errors.update(label_names(layer))
    for name, setting in layer.labels():
        if name in _PROMETHEUS_LABELS:
            message = "Prometheus sets this label, and keeps this one only with honor_labels: true"
            findings.warnings.add(setting.place.problem(message))
