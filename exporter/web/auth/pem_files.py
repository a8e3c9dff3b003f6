"""The certificates, keys and authorities of a web configuration: in files or written in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.document import Document, ScalarNode
from exporter.config.files import FileChecks, Verdict
from exporter.config.mappings import MappingReader
from exporter.config.problems import KeyPath, Problem
from exporter.web.auth.toolkit_schema import TlsServerConfig

SECTION = "tls_server_config"


@dataclass(slots=True, kw_only=True)
class PemReader:
    """Reads what ``tls_server_config`` names; holds what is worth a warning, and the files."""

    document: Document
    reader: MappingReader
    settings: TlsServerConfig
    broken: set[str]
    warnings: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def certificate(self) -> bytes | None:
        """Return the certificate, or ``None`` with a problem reported."""
        return self._pem("cert", self.settings.cert, self.settings.cert_file, is_required=True)

    def key(self) -> bytes | None:
        """Return the private key, or ``None`` with a problem reported."""
        return self._pem("key", self.settings.key, self.settings.key_file, is_required=True)

    def client_ca(self) -> bytes | None:
        """Return the authorities of clients, or ``None`` where there are none."""
        settings = self.settings
        return self._pem("client_ca", settings.client_ca, settings.client_ca_file, is_required=False)

    def _pem(self, key: str, text: str | None, name: str | None, *, is_required: bool) -> bytes | None:
        key_of_file = f"{key}_file"
        if {key, key_of_file} & self.broken:
            return None
        if text is not None and name is not None:
            self.reader.report((SECTION, key), f"{key} and {key_of_file} exclude each other")
            return None
        if text is not None:
            return text.encode()
        if name is None:
            if is_required:
                self.reader.report((SECTION,), f"{key_of_file} is missing")
            return None
        return self._read(self.document.folder / name, (SECTION, key_of_file))

    def _read(self, path: Path, place: KeyPath) -> bytes | None:
        self.files.append(path)
        checks = FileChecks()
        verdict = checks.private_key(path) if place[-1] == "key_file" else checks.readable(path)
        # Where it came from an environment variable, the path is told as it stands in the file.
        node = self.document.node(place)
        told = (node.written if isinstance(node, ScalarNode) else None) or str(path)
        if verdict.warning is not None:
            self.warnings.append(self.document.place(place).problem(f"{verdict.warning}: {told}"))
        if verdict.error is None:
            try:
                return path.read_bytes()
            except OSError as error:
                verdict = Verdict(error=f"cannot be read: {error.strerror}")
        self.reader.report(place, f"{verdict.error}: {told}")
        return None
