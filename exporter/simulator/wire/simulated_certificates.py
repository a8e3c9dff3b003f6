"""Certificates of a simulator: one authority, made at start, that signs servers and clients.

A server's certificate names a block of addresses: few enough for clients to read it as fast as a real one,
enough for a fleet to need few certificates.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SERVER_NAME = "ontap-simulator.internal"
"""A name in every server's certificate, for clients that go by a name."""
_SERVER_DAYS = 3650
"""How long a server's certificate is valid: longer than anybody sets a clock forward."""
_SECRET_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A client's certificate in PEM files."""

    cert_file: Path
    key_file: Path


class Authority:
    """A certificate authority with its files in a directory.

    Args:
        directory: Where `ca.pem` and the other files are written; it is created if it does not exist.

    Raises:
        ModuleNotFoundError: trustme is not installed.
    """

    def __init__(self, directory: Path) -> None:
        try:
            import trustme  # noqa: PLC0415 - an optional dependency
        except ImportError as error:
            raise ModuleNotFoundError(
                "the simulator makes its certificates with the library trustme, which is not installed: "
                "pip install trustme"
            ) from error
        self._ca = trustme.CA(organization_name="ONTAP simulator")
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue_server(self, addresses: Sequence[str]) -> Path:
        """Make a certificate for servers on some addresses; give the file with it and its key."""
        not_after = datetime.now(UTC) + timedelta(days=_SERVER_DAYS)
        leaf = self._ca.issue_cert(SERVER_NAME, *addresses, not_after=not_after)
        path = self._directory / f"server-{addresses[0]}.pem"
        _write_secret(path, leaf.private_key_and_cert_chain_pem.bytes())
        return path

    def issue_client(self, common_name: str) -> ClientCertificate:
        """Make a client's certificate for an account, whose name is part of the files' names."""
        leaf = self._ca.issue_cert(common_name=common_name)
        certificate = ClientCertificate(
            cert_file=self._directory / f"client-{common_name}.pem",
            key_file=self._directory / f"client-{common_name}-key.pem",
        )
        certificate.cert_file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        _write_secret(certificate.key_file, leaf.private_key_pem.bytes())
        return certificate

    def server_context(
        self, server_file: Path, *, require_client_certificate: bool, maximum_tls: ssl.TLSVersion | None
    ) -> ssl.SSLContext:
        """A TLS context with a certificate of `issue_server`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if maximum_tls is not None:
            context.maximum_version = maximum_tls
        if require_client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        context.load_cert_chain(server_file)
        return context


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=_SECRET_MODE)
    path.write_bytes(content)
