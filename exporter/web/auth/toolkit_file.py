"""Reading a web configuration: the file, its shape, what it names; every mistake of all three at once."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from exporter.config import ConfigError, Problem
from exporter.config.document import Document
from exporter.config.named_files import permissions, secret_for_everyone
from exporter.config.schema import Shape
from exporter.config.validation import validate
from exporter.config.yaml_source import read_document
from exporter.ontap.endpoint import TlsVersion
from exporter.web.auth.pem_files import SECTION as _TLS
from exporter.web.auth.pem_files import PemReader
from exporter.web.auth.rate_limit import RateLimit
from exporter.web.auth.tls_context import CIPHERS, CURVES, build_context, set_ciphers, trust
from exporter.web.auth.toolkit_schema import (
    HOMES,
    BasicAuthUsers,
    HttpHeaders,
    HttpServerConfig,
    RateLimitConfig,
    TlsServerConfig,
    WebRoot,
    check_header,
)
from exporter.web.auth.web_config import ClientAuth, ServerTls, WebConfig

_ShapeT = TypeVar("_ShapeT", bound=Shape)

_HTTP: Final = "http_server_config"
_USERS: Final = "basic_auth_users"
_RATE: Final = "rate_limit"


def load_web_config(path: Path, *, environ: Mapping[str, str]) -> WebConfig:
    """Read and check a web configuration and every file that it names.

    ``environ`` holds what ``${NAME}`` stands for.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    document = read_document(path, environ=environ)
    reading = _Reading(document)
    written = validate(WebRoot, document, belongs=HOMES).model_fields_set
    tls = reading.tls() if _TLS in written else None
    headers = reading.headers() if _HTTP in written else ()
    users = reading.users() if _USERS in written else {}
    rate_limit = reading.rate_limit() if _RATE in written else None
    if document.problems:
        raise ConfigError(document.problems)
    if users or reading.has_inline_key:
        reading.warn_of_mode(path)
    return WebConfig(
        path=path,
        tls=tls,
        context=reading.context,
        users=users,
        headers=headers,
        rate_limit=rate_limit,
        files=(path, *reading.files),
        warnings=tuple(sorted(set(reading.warnings))),
    )


class _Reading:
    """Goes through the sections of one document."""

    def __init__(self, document: Document) -> None:
        self.warnings: list[Problem] = []
        self.files: list[Path] = []
        self.has_inline_key = False
        self.context: ssl.SSLContext | None = None
        self._document = document

    def warn_of_mode(self, path: Path) -> None:
        """Warn where everyone can read the file itself."""
        if (warning := secret_for_everyone(permissions(path))) is not None:
            message = f"{warning}: {path}"
            self.warnings.append(Problem(file=self._document.file, line=0, key="", message=message))

    def tls(self) -> ServerTls | None:
        """Read ``tls_server_config``."""
        settings = self._section(TlsServerConfig, _TLS)
        self.has_inline_key = settings.key is not None
        pems = PemReader(document=self._document, settings=settings)
        before = len(self._document.problems)
        certificate, key = pems.certificate(), pems.key()
        client_ca = self._client_ca(settings, pems)
        self._check_versions(settings)
        ciphers = self._ciphers(settings)
        self.files += pems.files
        self.warnings += pems.warnings
        is_broken = self._is_broken() or len(self._document.problems) > before
        if is_broken or certificate is None or key is None:
            return None
        return self._checked(
            settings,
            ServerTls(
                certificate_pem=certificate,
                key_pem=key,
                client_auth=ClientAuth(settings.client_auth_type or ClientAuth.NONE),
                client_ca_pem=client_ca,
                client_allowed_sans=frozenset(settings.client_allowed_sans or ()),
                min_version=TlsVersion(settings.min_version or TlsVersion.TLS12),
                max_version=TlsVersion(settings.max_version or TlsVersion.TLS13),
                ciphers=ciphers,
                curve=_curve(settings),
                prefer_server_ciphers=settings.prefer_server_cipher_suites is not False,
            ),
        )

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Read ``http_server_config``."""
        settings = self._section(HttpServerConfig, _HTTP)
        if settings.http2:
            self._warn("HTTP/1.1 is served, which every client of HTTP/2 speaks as well", _HTTP, "http2")
        if "headers" not in settings.model_fields_set:
            return ()
        found = self._section(HttpHeaders, _HTTP, "headers").__pydantic_extra__
        for name, value in found.items():
            try:
                check_header(name, value)
            except ValueError as error:
                self._document.report((_HTTP, "headers", name), str(error))
        return tuple((name, value) for name, value in found.items() if value)

    def users(self) -> dict[str, bytes]:
        """Read ``basic_auth_users``."""
        found = self._section(BasicAuthUsers, _USERS).__pydantic_extra__
        for name in found:
            if ":" in name:
                self._document.report((_USERS, name), "a user name cannot hold a colon (RFC 7617)")
        if not found and not self._document.is_broken((_USERS,)):
            message = "nobody would be asked for a password; leave it out if that is meant"
            self._document.report((_USERS,), message)
        return {name: value.encode() for name, value in found.items()}

    def rate_limit(self) -> RateLimit | None:
        """Read ``rate_limit``."""
        settings = self._section(RateLimitConfig, _RATE)
        if settings.interval is None and not self._document.is_broken((_RATE, "interval")):
            self._document.report((_RATE,), "interval is missing")
        if settings.interval and settings.burst is None and not self._document.is_broken((_RATE, "burst")):
            self._document.report((_RATE,), "burst is missing")
        if not settings.interval or settings.burst is None:
            return None
        return RateLimit(interval=settings.interval, burst=settings.burst)

    def _client_ca(self, settings: TlsServerConfig, pems: PemReader) -> str:
        """Check what belongs together about clients' certificates; return their authorities."""
        pem = pems.client_ca()
        if self._is_broken("client_auth_type", "client_ca", "client_ca_file"):
            return ""
        kind = ClientAuth(settings.client_auth_type or ClientAuth.NONE)
        named = "client_ca" if settings.client_ca is not None else "client_ca_file"
        if kind is ClientAuth.NONE and (settings.client_ca or settings.client_ca_file):
            message = f"no client is asked for a certificate; set client_auth_type to {ClientAuth.REQUIRED}"
            self._document.report((_TLS, named), message)
        if kind is not ClientAuth.NONE and not (settings.client_ca or settings.client_ca_file):
            self._document.report(
                (_TLS,), "client_ca_file is missing: nobody's certificates would be trusted"
            )
        if settings.client_allowed_sans is not None and kind is not ClientAuth.REQUIRED:
            message = f"needs client_auth_type: {ClientAuth.REQUIRED}"
            self._document.report((_TLS, "client_allowed_sans"), message)
        if settings.client_allowed_sans == []:
            self._document.report((_TLS, "client_allowed_sans"), "an empty list would let nobody in")
        if pem is None:
            return ""
        text = pem.decode("ascii", "ignore")  # comments between the certificates may be in any language
        try:
            trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), text)
        except ValueError as error:
            self._report_pem("client_ca", settings.client_ca_file, error)
            return ""
        return text

    def _check_versions(self, settings: TlsServerConfig) -> None:
        is_upside_down = settings.min_version == TlsVersion.TLS13 and settings.max_version == TlsVersion.TLS12
        if is_upside_down and not self._is_broken("min_version", "max_version"):
            self._document.report((_TLS, "max_version"), "lower than min_version")

    def _ciphers(self, settings: TlsServerConfig) -> tuple[str, ...]:
        """Return OpenSSL's names of the suites that are named for TLS 1.2."""
        named = settings.cipher_suites or ()
        chosen = tuple(CIPHERS[name] for name in named if name in CIPHERS)
        if len(chosen) < len(named):
            message = "suites of TLS 1.3 cannot be chosen: it always offers its own"
            self._warn(message, _TLS, "cipher_suites")
        if (
            named
            and not chosen
            and settings.min_version != TlsVersion.TLS13
            and not self._is_broken("min_version")
        ):
            message = "no suite of TLS 1.2 is named; set min_version to TLS13 if only TLS 1.3 is meant"
            self._document.report((_TLS, "cipher_suites"), message)
        if chosen:
            try:
                set_ciphers(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), chosen)
            except ValueError as error:
                self._document.report((_TLS, "cipher_suites"), str(error))
        return chosen

    def _checked(self, settings: TlsServerConfig, tls: ServerTls) -> ServerTls | None:
        """Build the context, so that nothing can be wrong later."""
        try:
            self.context = build_context(tls)
        except ValueError as error:
            self._report_pem("cert", settings.cert_file, error)
            return None
        except OSError as error:
            self._document.report((_TLS,), f"cannot be used: {error.strerror or error}")
            return None
        return tls

    def _report_pem(self, key: str, file: Path | None, error: ValueError) -> None:
        if file is None:
            self._document.report((_TLS, key), str(error))
        else:
            self._document.report((_TLS, f"{key}_file"), f"{error}: {file}")

    def _section(self, shape: type[_ShapeT], *path: str) -> _ShapeT:
        return validate(shape, self._document, path, belongs=HOMES)

    def _is_broken(self, *keys: str) -> bool:
        """Whether one of these keys of ``tls_server_config`` has a mistake; without keys, any key."""
        return any(self._document.is_broken((_TLS, key)) for key in keys or TlsServerConfig.model_fields)

    def _warn(self, message: str, *path: str) -> None:
        self.warnings.append(self._document.location(path).problem(message))


def _curve(settings: TlsServerConfig) -> str | None:
    return CURVES[settings.curve_preferences[0]] if settings.curve_preferences else None
