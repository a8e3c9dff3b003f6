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
from exporter.ontap.cluster_settings import TlsVersion
from exporter.web.auth import load_web_config
from exporter.web.auth.toolkit_schema import (
    ClientAuth,
    HttpServerConfig,
    RateLimitConfig,
    TlsServerConfig,
    WebRoot,
)
from support.guarded import TLS, Certificates, hashed, write
from support.markdown import rows

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
    assert config.tls.client_auth_type is ClientAuth.REQUIRED
    assert config.tls.client_allowed_sans == ["prometheus.example.com"]
    assert config.rate_limit == RateLimitConfig(interval=timedelta(milliseconds=100), burst=10)
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
    assert config.tls.curve_preferences == ["CurveP256"]
    assert len(config.tls.cipher_suites or ()) == 2


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_page_explains_every_key(key: str) -> None:
    assert f"`{key}`" in PAGE or f".{key}`" in PAGE


_TOOLKIT_KEYS = {
    "": ["tls_server_config", "http_server_config", "rate_limit", "basic_auth_users", "ip_socket_config"],
    "tls_server_config": [
        *("cert", "key", "client_ca", "cert_file", "key_file", "client_auth_type", "client_ca_file"),
        *("cipher_suites", "curve_preferences", "min_version", "max_version"),
        *("prefer_server_cipher_suites", "client_allowed_sans"),
    ],
    "http_server_config": ["http2", "headers"],
    "rate_limit": ["burst", "interval"],
}
"""The keys of exporter-toolkit. Source: the types of its web/tls_config.go."""


@pytest.mark.parametrize(
    ("above", "key"), [(above, key) for above, keys in _TOOLKIT_KEYS.items() for key in keys]
)
def test_every_key_of_exporter_toolkit_is_taken_or_named_as_not_supported(
    above: str, key: str, tmp_path: Path
) -> None:
    text = f"{above}: {{{key}: }}\n" if above else f"{key}:\n"
    try:
        load_web_config(write(tmp_path / "web.yaml", text), environ={})
    except ConfigError as error:
        problems = [problem for problem in error.problems if problem.key.rpartition(".")[2] == key]
        supported = "is not supported: "
        assert all(problem.message.startswith(supported) for problem in problems)
        assert not problems or f"`{key}`" in _DIFFERENCES


_DIFFERENCES = PAGE.partition("## Differences from exporter-toolkit")[2]
_BEHIND_CERTIFICATE = f"{TLS}  "
_DIFFERENT: dict[str, tuple[str, str | None]] = {
    "`client_auth_type`: `RequestClientCert`, `RequireAnyClientCert`, `RequireClientCert`": (
        f"{_BEHIND_CERTIFICATE}client_auth_type: RequireAnyClientCert\n",
        "client_auth_type: Python's TLS verifies each certificate that it asks for",
    ),
    "`client_auth_type` without authorities": (
        f"{_BEHIND_CERTIFICATE}client_auth_type: RequireAndVerifyClientCert\n",
        "client_ca_file is missing",
    ),
    "`client_allowed_sans: []`, or without `RequireAndVerifyClientCert`": (
        f"{_BEHIND_CERTIFICATE}client_allowed_sans: [a]\n",
        "client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert",
    ),
    "`min_version`, `max_version`: `TLS10`, `TLS11`": (
        f"{_BEHIND_CERTIFICATE}min_version: TLS11\n",
        "min_version: versions before TLS 1.2 are not supported",
    ),
    "`curve_preferences` with several curves": (
        f"{_BEHIND_CERTIFICATE}curve_preferences: [CurveP256, CurveP384]\n",
        "curve_preferences: Python's TLS takes one curve",
    ),
    "`tls_server_config` with other keys and without a certificate": (
        "tls_server_config: {min_version: TLS13}\n",
        "tls_server_config: cert_file is missing",
    ),
    "`cert` and `cert_file` at once, and the like": (
        f"{_BEHIND_CERTIFICATE}cert: x\n",
        "cert: cert and cert_file exclude each other",
    ),
    "an empty file": ("# nothing\n", "the file holds no values"),
    "`http2: true`": ("http_server_config: {http2: true}\n", None),
    "hashes of a cost above 15": (
        "basic_auth_users: {a: $2b$16$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}\n",
        "basic_auth_users.a: the cost of the hash is not 4 to 15",
    ),
    "user names that are numbers and the like": (
        "basic_auth_users: {7: x}\n",
        "a key is text; put quotation marks around it",
    ),
    "`interval` as a number but 0, or negative": (
        "rate_limit: {interval: 5, burst: 1}\n",
        "rate_limit.interval: a duration has a unit: 5",
    ),
    "`interval` without `burst`": ("rate_limit: {interval: 1s}\n", "rate_limit: burst is missing or 0"),
    "`${NAME}` and `$$` in a value": (
        "basic_auth_users: {a: '${NONE}'}\n",
        "the environment variable NONE is not set",
    ),
    "`ip_socket_config`": ("ip_socket_config: {dscp: 1}\n", "ip_socket_config: is not supported"),
}


def test_the_page_lists_every_difference_in_what_is_taken() -> None:
    listed = [row["key"] for row in rows(_DIFFERENCES, "key") if "at run time" not in row["here"]]
    assert listed == list(_DIFFERENT)


@pytest.mark.parametrize(("text", "message"), _DIFFERENT.values(), ids=list(_DIFFERENT))
def test_each_difference_on_the_page_is_real(text: str, message: str | None, tmp_path: Path) -> None:
    Certificates(tmp_path)
    path = write(tmp_path / "web.yaml", text)
    if message is None:
        assert load_web_config(path, environ={}).warnings
        return
    with pytest.raises(ConfigError) as caught:
        load_web_config(path, environ={})
    assert any(message in str(problem) for problem in caught.value.problems)


def test_message_about_a_certificate_names_a_variable_and_not_its_value(tmp_path: Path) -> None:
    Certificates(tmp_path)
    (tmp_path / "made-up.pem").write_text("no certificate")
    text = "tls_server_config: {cert_file: '${NAME}.pem', key_file: server.key}\n"
    with pytest.raises(ConfigError) as caught:
        load_web_config(write(tmp_path / "web.yaml", text), environ={"NAME": "made-up"})
    [problem] = caught.value.problems
    assert problem.message == "no certificate in PEM form: ${NAME}.pem"


@pytest.mark.parametrize(
    ("interval", "microseconds"),
    [
        *(("1.5s", 1_500_000), ("500us", 500), ("500\u00b5s", 500), ("500\u03bcs", 500), (".5s", 500_000)),
        *(("1h15m30.918s", 4_530_918_000), ("+1m", 60_000_000), ("1.s", 1_000_000), ("100ns", 1)),
        *(("2m1h", 3_720_000_000), ("250ms", 250_000), ("1m30s", 90_000_000), ("1d", 86_400_000_000)),
    ],
)
def test_durations_are_read_as_go_reads_them(interval: str, microseconds: int, tmp_path: Path) -> None:
    text = f"rate_limit: {{interval: {interval}, burst: 1}}\n"
    config = load_web_config(write(tmp_path / "web.yaml", text), environ={})
    assert config.rate_limit == RateLimitConfig(interval=timedelta(microseconds=microseconds), burst=1)


@pytest.mark.parametrize("interval", ["1.5", "s", "1.5 s", "-1s", "1,5s", "1x", "300000000h", "."])
def test_what_is_no_duration_is_an_error(interval: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rate_limit\.interval: "):
        load_web_config(
            write(tmp_path / "web.yaml", f"rate_limit: {{interval: '{interval}', burst: 1}}\n"), environ={}
        )


@pytest.mark.parametrize(
    "text",
    [
        *(
            "rate_limit: {interval: 0, burst: 0}\n",
            "rate_limit: {interval: 0s}\n",
            "rate_limit: {burst: 5}\n",
        ),
        *("rate_limit:\n", "rate_limit: {}\n", "rate_limit: {interval: , burst: }\n"),
    ],
)
def test_an_interval_of_nothing_is_no_limit(text: str, tmp_path: Path) -> None:
    config = load_web_config(write(tmp_path / "web.yaml", text), environ={})
    assert (config.rate_limit, config.warnings) == (None, ())


def test_numbers_and_the_like_are_text_in_headers_and_a_header_of_nothing_is_not_sent(tmp_path: Path) -> None:
    headers = "{X-XSS-Protection: 1, Content-Security-Policy: , X-Frame-Options: ''}"
    text = f"http_server_config:\n  headers: {headers}\n"
    config = load_web_config(write(tmp_path / "web.yaml", text), environ={})
    assert config.headers == (("X-XSS-Protection", "1"),)
    text = "http_server_config: {headers: {X-XSS-Protection: 0.0, Strict-Transport-Security: yes}}\n"
    config = load_web_config(write(tmp_path / "web.yaml", text), environ={})
    assert config.headers == (("X-XSS-Protection", "0.0"), ("Strict-Transport-Security", "yes"))


def test_keys_with_nothing_behind_the_colon_are_as_if_they_were_left_out(tmp_path: Path) -> None:
    Certificates(tmp_path)
    nothing = "".join(f"  {key}: \n" for key in TlsServerConfig.model_fields if key not in TLS)
    empty = "".join(f"  {key}: ''\n" for key in ("cert", "client_ca_file", "client_auth_type", "min_version"))
    plain = load_web_config(write(tmp_path / "web.yaml", TLS), environ={})
    for more in (nothing, empty):
        config = load_web_config(write(tmp_path / "web.yaml", f"{TLS}{more}"), environ={})
        assert config == plain
    text = f"{TLS}http_server_config: {{http2: , headers: }}\nrate_limit:\n"
    assert load_web_config(write(tmp_path / "web.yaml", text), environ={}) == plain
    assert load_web_config(write(tmp_path / "web.yaml", "http_server_config:\n"), environ={}).headers == ()


@pytest.mark.parametrize("nothing", ["", "{}"])
def test_a_section_with_nothing_in_it_protects_nothing_and_says_so(nothing: str, tmp_path: Path) -> None:
    text = f"tls_server_config: {nothing}\nbasic_auth_users: {nothing}\n"
    config = load_web_config(write(tmp_path / "web.yaml", text), environ={})
    assert (config.tls, dict(config.users)) == (None, {})
    assert [f"{warning.line}: {warning.key}: {warning.message}" for warning in config.warnings] == [
        "1: tls_server_config: this is empty, so pages are served without TLS",
        "2: basic_auth_users: this is empty, so nobody is asked for a password",
    ]


def test_keys_that_are_left_out_have_the_defaults_of_exporter_toolkit(tmp_path: Path) -> None:
    Certificates(tmp_path)
    config = load_web_config(write(tmp_path / "web.yaml", TLS), environ={})
    assert config.tls is not None
    assert (config.tls.min_version, config.tls.max_version) == (TlsVersion.TLS12, TlsVersion.TLS13)
    assert (config.tls.client_auth_type, config.tls.prefer_server_cipher_suites) == (ClientAuth.NONE, True)
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
