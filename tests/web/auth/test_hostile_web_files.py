"""Whatever a web configuration holds, loading it ends with a configuration or with a :class:`ConfigError`.

No message and no ``repr`` shows a hash, a private key or the value of an environment variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import ConfigError
from exporter.web.auth import WebConfig
from support.guarded import Certificates
from support.untrusted_input import load_web

HASH = "$2b$04$abcdefghijklmnopqrstuuIzF21Rb5yfXRVyAh2sfhU0Ii5DPOlZi"
ENVIRON = {
    "SECRET": "s3cr3t-of-environment",
    "HASH": "$2b$04$ABCDEFGHIJKLMNOPQRSTUu4jrB8Ts5Xa7GsW5LU0VtRPuZcmZ3w/a",
    "NAME": "server",
}
KEY = """-----BEGIN PRIVATE KEY-----
bWFkZS11cCBzZWNyZXQgb2YgYSBwcml2YXRlIGtleSwgd2hpY2ggaXMgbm9uZQ==
-----END PRIVATE KEY-----
"""
WRONG = "s3cr3t-in-plain-text"
SECRETS = (HASH[7:29], ENVIRON["HASH"][7:29], ENVIRON["SECRET"], KEY.splitlines()[1][:12], WRONG)
"""Pieces that stand nowhere else."""
KEYS = [
    *("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "ip_socket_config"),
    *("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type"),
    *("client_allowed_sans", "min_version", "max_version", "cipher_suites", "curve_preferences"),
    *("prefer_server_cipher_suites", "http2", "headers", "interval", "burst", "alice", "<<", "x"),
    *("Content-Security-Policy", "X-Frame-Options", "Strict-Transport-Security", "X-Made-Up"),
]
VALUES = [
    *("server.crt", "server.key", "ca.pem", "${NAME}.key", "gone.pem", ".", "/dev/null", "NoClientCert"),
    *(
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
        "RequestClientCert",
        "TLS12",
        "TLS13",
        "TLS10",
    ),
    *("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "CurveP256", "X25519", "deny"),
    *("1s", "100ms", "1.5h", "0", "5", "-1s", "99999999999999999999", "9" * 500, "true", "no", "~", ".nan"),
    *("${SECRET}", "${HASH}", "${NONE}", "${", "$$", HASH, HASH[:-1], f"$2b$99{HASH[6:]}", "\0", "é", "a:b"),
]
FRAGMENTS = [
    *(f"{key}: " for key in KEYS),
    *VALUES,
    *("\n", "\n  ", "\n    ", "- ", "? ", ": ", "{", "}", "[", "]", ", ", "'", '"', "|", ">", "#", "%", "@"),
    *("&a ", "*a", "<<: *a", "!!binary ", "!x ", "---\n", "...\n", "\t", "\r", "\x85", "\ufeff", '"\\ud800"'),
]
scalars = (
    st.sampled_from([*VALUES, KEY])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
)
keys = st.sampled_from([*KEYS, HASH]) | st.text(max_size=4) | st.integers()
structures = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)


def section(*names: str) -> st.SearchStrategy[Any]:
    """Make sections of these keys, or anything else."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, scalars | structures)) | structures


tls = st.fixed_dictionaries(
    {"cert_file": st.just("server.crt"), "key_file": st.just("server.key")},
    optional={
        "client_ca_file": st.just("ca.pem") | scalars,
        "client_auth_type": st.sampled_from(VALUES),
        "client_allowed_sans": st.lists(scalars, max_size=2) | structures,
        "min_version": st.sampled_from(["TLS12", "TLS13"]) | scalars,
        "max_version": st.sampled_from(["TLS12", "TLS13"]) | scalars,
        "cipher_suites": st.lists(st.sampled_from(VALUES), max_size=3) | scalars,
        "curve_preferences": st.lists(st.sampled_from(["CurveP256", "x"]), max_size=2) | scalars,
        "prefer_server_cipher_suites": st.booleans() | scalars,
        "cert": scalars,
        "x": scalars,
    },
)
files = st.fixed_dictionaries(
    {},
    optional={
        "tls_server_config": tls | section(*KEYS[5:16]),
        "http_server_config": section("http2", "headers"),
        "basic_auth_users": st.dictionaries(st.text(max_size=4), st.just(HASH) | scalars, max_size=2)
        | structures,
        "rate_limit": section("interval", "burst"),
        "x": scalars,
    },
)
wrong_secrets = st.recursive(
    st.sampled_from([WRONG, f"{WRONG}\n", f":{WRONG}", f"{HASH} ", HASH, KEY]) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([WRONG, HASH]), inner, max_size=2)
    ),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Certificates(tmp_path_factory.mktemp("hostile")).folder / "web.yaml"


def outcome(path: Path, content: bytes) -> WebConfig | ConfigError:
    """Load a file; nothing that is said of it holds a secret."""
    loaded = load_web(path, content, environ=ENVIRON)
    said = f"{loaded!s}{loaded!r}"
    assert not [secret for secret in SECRETS if secret in said]
    return loaded


@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_load_or_are_a_config_error(path: Path, content: bytes) -> None:
    outcome(path, content)


@given(fragments=st.lists(st.sampled_from(FRAGMENTS), max_size=30))
def test_any_sequence_of_yaml_tokens_loads_or_is_a_config_error(path: Path, fragments: list[str]) -> None:
    outcome(path, "".join(fragments).encode())


@given(structure=files | structures)
def test_any_structure_loads_or_is_a_config_error(path: Path, structure: Any) -> None:
    outcome(path, yaml.safe_dump(structure, allow_unicode=True).encode())


@given(
    secret=wrong_secrets,
    place=st.sampled_from(["users", "user", "key", "key_file", "interval"]),
    data=st.data(),
)
def test_a_secret_of_any_wrong_shape_is_not_reported(
    path: Path, secret: Any, place: str, data: st.DataObject
) -> None:
    structure = {
        "users": {"basic_auth_users": [secret]},
        "user": {"basic_auth_users": {"alice": secret}},
        "key": {"tls_server_config": {"cert_file": "server.crt", "key": secret}},
        "key_file": {"tls_server_config": {"cert_file": "server.crt", "key_file": KEY}},
        "interval": {"rate_limit": {"interval": HASH, "burst": KEY}},
    }[place]
    written = yaml.safe_dump(structure)
    at = data.draw(st.integers(0, len(written)))
    # With a mark in the wrong place, a key of a mapping may become the name of a user, which is shown.
    marks = [] if f"{WRONG}:" in written else ["!x ", "*", "{", "]", "\0"]
    mark = data.draw(st.sampled_from(["", *marks]))
    outcome(path, f"{written[:at]}{mark}{written[at:]}".encode())
