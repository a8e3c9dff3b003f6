"""Reads ``tls_server_config``: its values, the files that it names, and whether OpenSSL accepts them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporter.config.checking.named_files import check_private_key
from exporter.config.problems import Problem
from exporter.config.reading.document import Document
from exporter.files import why_unreadable
from exporter.ontap.endpoint import TlsVersion
from exporter.pem import BadKeyError, read_pem
from exporter.web.auth.tls_context import build_context, set_ciphers, trust_authorities
from exporter.web.auth.toolkit_schema import CIPHERS, ClientAuth, TlsServerConfig

SECTION: Final = "tls_server_config"


@dataclass(slots=True, kw_only=True)
class TlsSection:
    """The section of one document; :meth:`read` reports every mistake to the document.

    Attributes:
        tls: the settings, with the contents of the files; None if there is a mistake.
        context: the context built from the settings.
        files: the files that the section names.
        warnings: settings that are allowed but probably mistakes.
        has_inline_key: whether the private key is in the document itself.
    """

    document: Document
    tls: TlsServerConfig | None = None
    context: ssl.SSLContext | None = None
    files: list[Path] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    has_inline_key: bool = False

    def read(self, settings: TlsServerConfig) -> None:
        """Check the settings, read their files, and build the context, so that nothing can be wrong later."""
        before = len(self.document.problems)
        self.has_inline_key = settings.key is not None
        certificate = self._pem("cert", settings.cert, settings.cert_file, is_required=True)
        key = self._pem("key", settings.key, settings.key_file, is_required=True)
        authorities = self._pem("client_ca", settings.client_ca, settings.client_ca_file, is_required=False)
        self._check_clients(settings, authorities)
        self._check_versions(settings)
        self._check_ciphers(settings)
        is_broken = self._is_broken(*TlsServerConfig.model_fields) or len(self.document.problems) > before
        if is_broken or certificate is None or key is None:
            return
        contents = {"cert": certificate, "key": key, "client_ca": authorities}
        tls = settings.model_copy(update=contents | {f"{name}_file": None for name in contents})
        try:
            self.context = build_context(tls)
        except BadKeyError as error:
            self._report_pem("key", settings.key_file, error)
        except ValueError as error:
            self._report_pem("cert", settings.cert_file, error)
        except OSError as error:
            self._report((), f"cannot be used: {error.strerror or error}")
        else:
            self.tls = tls

    def _pem(self, key: str, text: str | None, path: Path | None, *, is_required: bool) -> str | None:
        """Return the content of a key or of its file; None if there is neither, or a mistake."""
        key_of_file = f"{key}_file"
        if self._is_broken(key, key_of_file):
            return None
        if text is not None:
            if path is None:
                return text
            self._report((key,), f"{key} and {key_of_file} exclude each other")
        elif path is not None:
            return self._read_file(path, key_of_file)
        elif is_required:
            self._report((), f"{key_of_file} is missing")
        return None

    def _read_file(self, path: Path, key: str) -> str | None:
        self.files.append(path)
        displayed = self.document.texts.get((SECTION, key), str(path))
        try:
            warning = check_private_key(path) if key == "key_file" else None
            content = read_pem(path)
        except (OSError, ValueError) as error:
            self._report((key,), f"{why_unreadable(error)}: {displayed}")
            return None
        if warning is not None:
            self._warn(key, f"{warning}: {displayed}")
        return content

    def _check_clients(self, settings: TlsServerConfig, authorities: str | None) -> None:
        """Check the settings for clients' certificates together."""
        if self._is_broken("client_auth_type", "client_ca", "client_ca_file"):
            return
        is_asked = settings.client_auth_type is not ClientAuth.NONE
        is_named = bool(settings.client_ca or settings.client_ca_file)
        if is_named and not is_asked:
            named = "client_ca" if settings.client_ca is not None else "client_ca_file"
            message = f"no client is asked for a certificate; set client_auth_type to {ClientAuth.REQUIRED}"
            self._report((named,), message)
        if is_asked and not is_named:
            self._report((), "client_ca_file is missing: nobody's certificates would be trusted")
        names = settings.client_allowed_sans
        if names is not None and settings.client_auth_type is not ClientAuth.REQUIRED:
            self._report(("client_allowed_sans",), f"needs client_auth_type: {ClientAuth.REQUIRED}")
        if names == []:
            self._report(("client_allowed_sans",), "an empty list would let nobody in")
        if authorities is not None:
            try:
                trust_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), authorities)
            except ValueError as error:
                self._report_pem("client_ca", settings.client_ca_file, error)

    def _check_versions(self, settings: TlsServerConfig) -> None:
        is_upside_down = settings.min_version is TlsVersion.TLS13 and settings.max_version is TlsVersion.TLS12
        if is_upside_down and not self._is_broken("min_version", "max_version"):
            self._report(("max_version",), "lower than min_version")

    def _check_ciphers(self, settings: TlsServerConfig) -> None:
        named = settings.cipher_suites or []
        chosen = CIPHERS.keys() & named
        if not chosen.issuperset(named):
            self._warn("cipher_suites", "suites of TLS 1.3 cannot be chosen: it always offers its own")
        needs_one = settings.min_version is not TlsVersion.TLS13 and not self._is_broken("min_version")
        if named and not chosen and needs_one:
            message = "no suite of TLS 1.2 is named; set min_version to TLS13 if only TLS 1.3 is meant"
            self._report(("cipher_suites",), message)
        try:
            set_ciphers(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), named)
        except ValueError as error:
            self._report(("cipher_suites",), str(error))

    def _report_pem(self, key: str, file: Path | None, error: ValueError) -> None:
        if file is None:
            self._report((key,), str(error))
        else:
            self._report((f"{key}_file",), f"{error}: {file}")

    def _report(self, path: tuple[str, ...], message: str) -> None:
        self.document.report((SECTION, *path), message)

    def _warn(self, key: str, message: str) -> None:
        self.warnings.append(self.document.location((SECTION, key)).problem(message))

    def _is_broken(self, *keys: str) -> bool:
        """Whether one of these keys has a mistake."""
        return self.document.is_broken(*((SECTION, key) for key in keys))
