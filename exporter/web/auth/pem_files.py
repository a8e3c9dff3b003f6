"""The certificates, keys and authorities of a web configuration: in files or written in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.document import Document
from exporter.config.named_files import MAX_PEM_BYTES, check_private_key
from exporter.config.problems import Problem
from exporter.files import read_file, why_unreadable
from exporter.web.auth.toolkit_schema import TlsServerConfig

SECTION = "tls_server_config"


@dataclass(slots=True, kw_only=True)
class PemReader:
    """Reads what ``tls_server_config`` names; holds what is worth a warning, and the files."""

    document: Document
    settings: TlsServerConfig
    warnings: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def certificate(self) -> bytes | None:
        """Return the certificate, or ``None`` with a problem reported."""
        return self._pem("cert", self.settings.cert, self.settings.cert_file, is_required=True)

    def key(self) -> bytes | None:
        """Return the private key, or ``None`` with a problem reported."""
        return self._pem("key", self.settings.key, self.settings.key_file, is_required=True)

    def client_ca(self) -> bytes | None:
        """Return the authorities of clients, or ``None`` if there are none."""
        settings = self.settings
        return self._pem("client_ca", settings.client_ca, settings.client_ca_file, is_required=False)

    def _pem(self, key: str, text: str | None, path: Path | None, *, is_required: bool) -> bytes | None:
        key_of_file = f"{key}_file"
        if self.document.is_broken((SECTION, key)) or self.document.is_broken((SECTION, key_of_file)):
            return None
        if text is not None and path is not None:
            self.document.report((SECTION, key), f"{key} and {key_of_file} exclude each other")
            return None
        if text is not None:
            return text.encode()
        if path is None:
            if is_required:
                self.document.report((SECTION,), f"{key_of_file} is missing")
            return None
        return self._read(path, key_of_file)

    def _read(self, path: Path, key: str) -> bytes | None:
        self.files.append(path)
        displayed = self.document.displayed((SECTION, key), path)
        try:
            warning = check_private_key(path) if key == "key_file" else None
            content = read_file(path, max_bytes=MAX_PEM_BYTES)
        except (OSError, ValueError) as error:
            self.document.report((SECTION, key), f"{why_unreadable(error)}: {displayed}")
            return None
        if warning is not None:
            self.warnings.append(self.document.location((SECTION, key)).problem(f"{warning}: {displayed}"))
        return content
