"""A file means what exporter-toolkit takes it to mean; the example and the page name every key."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.config import ConfigError
from exporter.ontap.endpoint import TlsVersion
from exporter.web.auth import load_web_config
from exporter.web.auth.rate_limit import RateLimit
from exporter.web.auth.toolkit_schema import HttpServerConfig, RateLimitConfig, TlsServerConfig, WebRoot
from exporter.web.auth.web_config import ClientAuth
from support.guarded import TLS, Certificates, hashed, write

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "web-config.example.yaml"
PAGE = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")
KEYS = {
    key
    for shape in (WebRoot, TlsServerConfig, HttpServerConfig, RateLimitConfig)
    for key in shape.model_fields
}


def test_the_example_loads_beside_the_files_that_it_names(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    shutil.copy(certificates.ca_file, tmp_path / "prometheus-ca.crt")
    path = write(tmp_path / "web.yaml", EXAMPLE.read_text())
    config = load_web_config(path, environ={})
    assert config.warnings == ()
    assert config.tls is not None
    assert config.tls.client_auth is ClientAuth.REQUIRED
    assert config.tls.client_allowed_sans == {"prometheus.example.com"}
    assert config.rate_limit == RateLimit(interval=timedelta(milliseconds=100), burst=10)
    assert bcrypt.checkpw(b"change-me", config.users["prometheus"])
    assert config.files == tuple(
        tmp_path / name for name in ("web.yaml", "server.crt", "server.key", "prometheus-ca.crt")
    )


def test_every_commented_line_of_the_example_loads_on_every_python(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    shutil.copy(certificates.ca_file, tmp_path / "prometheus-ca.crt")
    whole = re.sub(r"^  # (?=\w+: )", "  ", EXAMPLE.read_text(), flags=re.MULTILINE)
    config = load_web_config(write(tmp_path / "web.yaml", whole), environ={})
    assert config.tls is not None
    assert (config.tls.curve, len(config.tls.ciphers)) == ("prime256v1", 2)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_page_explains_every_key(key: str) -> None:
    assert f"`{key}`" in PAGE or f".{key}`" in PAGE


def test_keys_that_are_left_out_have_the_defaults_of_exporter_toolkit(tmp_path: Path) -> None:
    Certificates(tmp_path)
    config = load_web_config(write(tmp_path / "web.yaml", TLS), environ={})
    assert config.tls is not None
    assert (config.tls.min_version, config.tls.max_version) == (TlsVersion.TLS12, TlsVersion.TLS13)
    assert (config.tls.client_auth, config.tls.prefer_server_ciphers) == (ClientAuth.NONE, True)
    assert (dict(config.users), config.headers, config.rate_limit) == ({}, (), None)


def test_a_file_that_asks_for_nothing_says_so(tmp_path: Path) -> None:
    config = load_web_config(write(tmp_path / "web.yaml", "{}\n"), environ={})
    assert (config.tls, dict(config.users), config.warnings) == (None, {}, ())


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    Certificates(tmp_path / "etc")
    write(tmp_path / "etc" / "web.yaml", TLS)
    monkeypatch.chdir(tmp_path)
    assert load_web_config(Path("etc/web.yaml"), environ={}).tls is not None


def test_environment_variables_are_put_in_and_hashes_are_left_as_they_are(tmp_path: Path) -> None:
    known = hashed("right")
    text = f"basic_auth_users:\n  alice: {known}\n  bob: ${{HASH}}\n"
    config = load_web_config(write(tmp_path / "web.yaml", text), environ={"HASH": known})
    assert config.users == {"alice": known.encode(), "bob": known.encode()}


def test_a_key_that_belongs_to_another_certificate_is_reported(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    write(tmp_path / "server.key", certificates.authority.issue_cert("x.example").private_key_pem.bytes())
    with pytest.raises(ConfigError) as caught:
        load_web_config(write(tmp_path / "web.yaml", TLS), environ={})
    assert str(caught.value) == (
        f"{tmp_path}/web.yaml:2: tls_server_config.cert_file: "
        f"the private key does not belong to the certificate: {tmp_path}/server.crt"
    )


def test_an_encrypted_key_is_reported_at_the_key(tmp_path: Path) -> None:
    Certificates(tmp_path)
    key = load_pem_private_key((tmp_path / "server.key").read_bytes(), password=None)
    encryption = BestAvailableEncryption(b"made-up")
    write(tmp_path / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    with pytest.raises(ConfigError) as caught:
        load_web_config(write(tmp_path / "web.yaml", TLS), environ={})
    assert str(caught.value) == (
        f"{tmp_path}/web.yaml:3: tls_server_config.key_file: "
        f"the private key is encrypted; one without a passphrase is expected: {tmp_path}/server.key"
    )


def test_repr_of_a_loaded_configuration_shows_neither_hashes_nor_keys(tmp_path: Path) -> None:
    Certificates(tmp_path)
    text = f"{TLS}basic_auth_users: {{alice: {hashed('right')}}}\n"
    shown = repr(load_web_config(write(tmp_path / "web.yaml", text), environ={}))
    assert "$2b$" not in shown
    assert "PRIVATE KEY" not in shown
