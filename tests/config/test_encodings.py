"""A byte order mark at the start of any file is dropped; a file in UTF-16 is an error that says so."""

from __future__ import annotations

import codecs
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from exporter.config import ConfigError, load_config
from exporter.ontap.credentials import Credentials
from exporter.ontap.tls import build_context
from exporter.web.auth import load_web_config

_CONFIG = """\
defaults:
  tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}
clusters:
  - address: a
    basic_auth: {username_file: username, password_file: password}
    http_headers: {X-Key: {files: [header]}}
  - {address: b, authorization: {credentials_file: token}}
  - address: c
    oauth2: {client_id: me, client_secret_file: client_secret, token_url: "https://idp/token"}
cluster_files: [more.yaml, more.json]
"""
_WEB = "tls_server_config: {cert_file: client.pem, key_file: client.key, client_ca_file: ca.pem, \
client_auth_type: RequireAndVerifyClientCert}\n"
_NAMES = (
    *("config.yaml", "more.yaml", "more.json", "ca.pem", "client.pem", "client.key"),
    *("username", "password", "header", "token", "client_secret", "web.yaml"),
)
Encode = Callable[[str], bytes]


def _write(folder: Path, encoded: dict[str, Encode]) -> Path:
    authority = trustme.CA()
    leaf = authority.issue_cert("monitor")
    contents = {
        "config.yaml": _CONFIG,
        "more.yaml": "- address: d\n  basic_auth: {username: u, password: made-up}\n",
        "more.json": '[{"targets": ["e"]}]',
        "ca.pem": authority.cert_pem.bytes().decode(),
        "client.pem": leaf.cert_chain_pems[0].bytes().decode(),
        "client.key": leaf.private_key_pem.bytes().decode(),
        "web.yaml": _WEB,
    }
    for name in _NAMES:
        path = folder / name
        path.write_bytes(encoded.get(name, str.encode)(contents.get(name, f"made-up-{name}\n")))
        path.chmod(0o600)
    return folder / "config.yaml"


def _with_mark(text: str) -> bytes:
    return codecs.BOM_UTF8 + text.encode()


def _problems(folder: Path) -> Iterator[str]:
    for load, name in ((load_config, "config.yaml"), (load_web_config, "web.yaml")):
        try:
            load(folder / name, environ={})
        except ConfigError as error:
            yield from str(error).splitlines()


async def test_a_mark_at_the_start_of_every_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = load_config(_write(tmp_path / "plain", {}), environ={})
    marked = load_config(_write(tmp_path, dict.fromkeys(_NAMES, _with_mark)), environ={})
    assert [cluster.name for cluster in marked.clusters] == [cluster.name for cluster in plain.clusters]
    assert marked.warnings == plain.warnings
    for one, other in zip(marked.clusters[:2], plain.clusters[:2], strict=True):
        sent = await Credentials(one.login, headers=one.headers).headers()
        assert sent == await Credentials(other.login, headers=other.headers).headers()
        assert "\ufeff" not in str(sent)
    context = build_context(marked.clusters[0].tls)
    assert len(context.get_ca_certs()) == 1
    web = load_web_config(tmp_path / "web.yaml", environ={})
    assert web.context is not None
    assert web.context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", _NAMES)
def test_a_file_in_utf_16_is_named_as_the_mistake(name: str, encoding: str, tmp_path: Path) -> None:
    _write(tmp_path, {name: lambda text: f"\ufeff{text}".encode(encoding)})
    problems = list(_problems(tmp_path))
    found = [problem for problem in problems if "encoded as UTF-16; save the file as UTF-8" in problem]
    assert found
    assert problems == found
    assert all(str(tmp_path / name) in problem for problem in found)
