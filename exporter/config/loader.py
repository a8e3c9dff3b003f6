"""Reading a configuration: the file, its shape, its meaning; every mistake of all three at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporter.config.checks import Findings
from exporter.config.model import Config
from exporter.config.policies import resolve_cleanup
from exporter.config.problems import ConfigError
from exporter.config.reader import read_document
from exporter.config.resolve import resolve


def load_config(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read, check and resolve a configuration file and every file that it names.

    ``environ`` holds what ``${NAME}`` stands for.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    # Here and not above: pydantic takes longer to import than everything else that reads a configuration.
    from exporter.config.sections import read_sections  # noqa: PLC0415

    document, problems = read_document(path, environ=environ)
    sections = read_sections(document)
    findings = Findings(errors={*problems, *sections.problems})
    clusters = resolve(sections.written, findings)
    cleanup = None
    if sections.cleanup is not None:
        cleanup = resolve_cleanup(sections.cleanup.settings, sections.cleanup.policies, clusters, findings)
    if findings.errors:
        raise ConfigError(findings.errors)
    return Config(
        clusters=clusters,
        max_concurrent_polls=sections.max_concurrent_polls,
        cleanup=cleanup,
        warnings=tuple(sorted(findings.warnings)),
        written=sections.written,
    )
