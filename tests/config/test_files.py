"""The files that a configuration names: secrets, authorities, certificates and keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.config import Config, ConfigError
from exporter.ontap.cluster_settings import BasicLogin, Secret, Tls

Load = Callable[..., Config]

_LOGIN = "defaults: {basic_auth: {username: monitor, password: made-up}}\n"


@pytest.fixture
def pems(tmp_path: Path) -> Path:
    """A folder with an authority, a certificate and its key, and a key of another certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("client", "other"):
        certificate = authority.issue_cert(f"{name}.example")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}-key.pem")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}-both.pem")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    return tmp_path


def _tls(keys: str) -> str:
    return _LOGIN + f"clusters:\n  - address: a\n    tls_config: {{{keys}}}\n"


def _messages(load: Load, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


def _secret(load: Load, folder: Path, content: bytes, mode: int = 0o600) -> Config:
    (folder / "secret").write_bytes(content)
    (folder / "secret").chmod(mode)
    return load("clusters:\n  - address: a\n    basic_auth: {username: monitor, password_file: secret}\n")


def test_secret_file_is_relative_to_the_configuration(load: Load, tmp_path: Path) -> None:
    config = _secret(load, tmp_path, b"made-up\n")
    assert config.clusters[0].login == BasicLogin(
        username="monitor", password=Secret(file=tmp_path / "secret")
    )
    assert config.warnings == ()


def test_secret_file_that_everyone_can_read_is_a_warning(load: Load, tmp_path: Path) -> None:
    config = _secret(load, tmp_path, b"made-up", mode=0o644)
    message = f"every user of this machine can read the secret (mode 0644): {tmp_path / 'secret'}"
    assert [warning.message for warning in config.warnings] == [message]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"made-up\xff", "not UTF-8"),
        (b"made\nup", "a password cannot hold a line break or another control character (RFC 7617)"),
        (b"x" * 65537, "larger than 64 KiB"),
    ],
)
def test_file_that_holds_no_secret_is_an_error(
    load: Load, tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _secret(load, tmp_path, content)
    assert [problem.message for problem in caught.value.problems] == [f"{message}: {tmp_path / 'secret'}"]


def test_file_that_a_nearer_layer_replaces_must_be_there_all_the_same(load: Load, tmp_path: Path) -> None:
    text = (
        "defaults: {basic_auth: {username: monitor, password_file: gone}}\n"
        "clusters: [{address: a, basic_auth: {password: made-up}}]\n"
    )
    message = f"cannot be read: No such file or directory: {tmp_path / 'gone'}"
    assert _messages(load, text) == [f"defaults.basic_auth.password_file: {message}"]


def test_certificate_with_its_key_is_a_login(load: Load, pems: Path) -> None:
    config = load(
        "clusters: [{address: a, tls_config: {ca_file: ca.pem, cert_file: client.pem,"
        " key_file: client-key.pem}}]\n"
    )
    assert config.clusters[0].tls == Tls(
        ca_file=pems / "ca.pem", cert_file=pems / "client.pem", key_file=pems / "client-key.pem"
    )
    assert config.warnings == ()


def test_certificate_file_may_hold_the_key(load: Load, pems: Path) -> None:
    assert load(_tls("cert_file: client-both.pem")).clusters[0].tls == Tls(cert_file=pems / "client-both.pem")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "ca_file: client-key.pem",
            "ca_file: no certificate in PEM form that can be trusted: {}/client-key.pem",
        ),
        ("cert_file: client.pem", "cert_file: no private key in PEM form: {}/client.pem"),
        (
            "cert_file: client.pem, key_file: other-key.pem",
            "cert_file: the private key does not belong to the certificate: {}/client.pem",
        ),
        (
            "cert_file: client.pem, key_file: ca.pem",
            "key_file: no private key in PEM form: {}/ca.pem",
        ),
        ("key_file: client-key.pem", "key_file: key_file without cert_file"),
    ],
)
def test_pem_file_that_cannot_serve_is_an_error(load: Load, pems: Path, keys: str, message: str) -> None:
    assert _messages(load, _tls(keys)) == [f"clusters[0].tls_config.{message.format(pems)}"]


def test_encrypted_key_is_an_error_and_nobody_is_asked_for_its_passphrase(load: Load, pems: Path) -> None:
    key = load_pem_private_key((pems / "client-key.pem").read_bytes(), password=None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"made-up"))
    (pems / "client-key.pem").write_bytes(encrypted)
    message = "the private key is encrypted; one without a passphrase is expected"
    assert _messages(load, _tls("cert_file: client.pem, key_file: client-key.pem")) == [
        f"clusters[0].tls_config.key_file: {message}: {pems / 'client-key.pem'}"
    ]
    (pems / "client-both.pem").write_bytes((pems / "client.pem").read_bytes() + encrypted)
    assert _messages(load, _tls("cert_file: client-both.pem")) == [
        f"clusters[0].tls_config.cert_file: {message}: {pems / 'client-both.pem'}"
    ]


def test_key_that_everyone_can_read_is_a_warning(load: Load, pems: Path) -> None:
    (pems / "client-key.pem").chmod(0o644)
    config = load(_tls("cert_file: client.pem, key_file: client-key.pem"))
    assert [warning.key for warning in config.warnings] == ["clusters[0].tls_config.key_file"]
