"""From files that have been read one by one to the configuration that they make together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.config.checks import Findings
from exporter.config.exposure import exposed_files
from exporter.config.model import ClusterFile, Config
from exporter.config.policies import resolve_cleanup
from exporter.config.resolve import resolve

if TYPE_CHECKING:
    from exporter.config.sections import Sections


def assemble(
    sections: Sections,
    files: Iterable[ClusterFile],
    findings: Findings,
    *,
    latest: Collection[str] | None = None,
) -> Config:
    """Resolve everything; what comes back counts only where no error was found.

    ``latest`` are the files that have changed since the others were in force together: a mistake is one of
    these, and what else has gone wrong since, such as a secret's file that is away for now, does not count.
    """
    written = replace(sections.written, cluster_files=tuple(files))
    clusters = resolve(written, findings, latest=latest or ())
    findings.warnings.update(exposed_files(written))
    _forget_others(findings, latest)
    cleanup = None
    if sections.cleanup is not None:
        cleanup = resolve_cleanup(sections.cleanup.settings, sections.cleanup.policies, clusters, findings)
        _forget_others(findings, latest)
    return Config(
        clusters=clusters,
        cluster_files=tuple(entry.pattern for entry in sections.cluster_files),
        max_concurrent_polls=sections.max_concurrent_polls,
        cleanup=cleanup,
        warnings=tuple(sorted(findings.warnings)),
        written=written,
    )


def _forget_others(findings: Findings, latest: Collection[str] | None) -> None:
    if latest is not None:
        findings.errors.intersection_update(
            {problem for problem in findings.errors if problem.file in latest}
        )
