"""The keys of Prometheus's HTTP client: proxies, headers, OAuth 2.0, texts in PEM form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from exporter.config import Config, ConfigError, masked_yaml
from exporter.config.reading.proxy import is_excepted, parse_proxy_url
from exporter.ontap.cluster_settings import (
    BasicLogin,
    Endpoint,
    Header,
    OAuth2Login,
    Proxy,
    Secret,
    Tls,
)

Load = Callable[..., Config]

_LOGIN = "basic_auth: {username: monitor, password: made-up}"
_OAUTH2 = "client_id: me, client_secret: made-up-2, token_url: 'https://idp.example/token'"


def _messages(load: Load, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


def _proxies(config: Config) -> list[str | None]:
    proxies = (cluster.proxy for cluster in config.clusters)
    return [None if proxy is None else proxy.masked("*") for proxy in proxies]


def test_proxy_with_its_login_and_headers_arrives(load: Load) -> None:
    config = load(
        f"defaults: {{{_LOGIN}, proxy_url: 'http://me:p%40ss@proxy.example:3128/',"
        " proxy_connect_header: {X-B: [b1, b2], X-A: ['${TOKEN}']}}\n"
        "clusters: [{address: a}]\n",
        TOKEN="a1",
    )
    assert config.clusters[0].proxy == Proxy(
        host="proxy.example",
        port=3128,
        login=BasicLogin(username="me", password=Secret(value="p@ss")),
        headers=tuple(
            Header(name=name, value=Secret(value=value))
            for name, value in (("X-A", "a1"), ("X-B", "b1"), ("X-B", "b2"))
        ),
    )


@pytest.mark.parametrize("url", ["http://me@proxy:3128", "http://me:@proxy:3128"])
def test_a_proxys_login_may_be_a_user_name_alone(load: Load, url: str) -> None:
    config = load(f"clusters: [{{address: a, {_LOGIN}, proxy_url: '{url}'}}]\n")
    (cluster,) = config.clusters
    assert cluster.proxy == Proxy(
        host="proxy", port=3128, login=BasicLogin(username="me", password=Secret(value=""))
    )
    assert _proxies(config) == ["http://*@proxy:3128"]  # it may be a token
    assert (
        load(masked_yaml(config).replace("http://<secret>@", "http://me@").replace("<secret>", "made-up"))
        == config
    )


def test_a_cluster_can_do_without_the_proxy_of_the_defaults(load: Load) -> None:
    config = load(
        f"defaults: {{{_LOGIN}, proxy_url: 'http://proxy', no_proxy: '.lab.example,10.0.0.0/8'}}\n"
        "clusters:\n"
        "  - {address: a.example}\n  - {address: a.lab.example}\n  - {address: 10.1.2.3}\n"
        "  - {address: b.example, proxy_url: ''}\n  - {address: c.example, proxy_url: 'http://other:8080'}\n"
        "  - {address: d.example, proxy_from_environment: true}\n",
        HTTPS_PROXY="proxy-of-environment:8888",
    )
    assert _proxies(config) == [
        *("http://proxy:80", None, None, None),
        *("http://other:8080", "http://proxy-of-environment:8888"),
    ]
    assert (
        load(masked_yaml(config).replace("<secret>", "made-up"), HTTPS_PROXY="proxy-of-environment:8888")
        == config
    )


def test_proxy_of_the_environment_is_used_as_go_does(load: Load) -> None:
    text = f"defaults: {{{_LOGIN}, proxy_from_environment: true}}\nclusters: [{{address: a.example}}]\n"
    for environ, proxy in [
        ({}, None),
        ({"HTTP_PROXY": "http://plain"}, None),
        ({"https_proxy": "http://small:1"}, "http://small:1"),
        ({"HTTPS_PROXY": "http://large:1", "https_proxy": "http://small:1"}, "http://large:1"),
        ({"HTTPS_PROXY": "http://u:p@large:1"}, "http://u:*@large:1"),
        ({"HTTPS_PROXY": "http://large:1", "NO_PROXY": "example"}, None),
        ({"HTTPS_PROXY": "http://large:1", "no_proxy": "*"}, None),
    ]:
        assert _proxies(load(text, **environ)) == [proxy], environ
    plain = text.replace("proxy_from", "allow_http: true, proxy_from").replace(
        "a.example", "'http://a.example'"
    )
    assert _proxies(load(plain, HTTPS_PROXY="http://large:1")) == [None]
    assert "a cluster with http:// cannot use a proxy" in str(
        _messages(load, plain, HTTP_PROXY="http://plain:1")
    )
    (message,) = _messages(load, text, HTTPS_PROXY="socks5://me:s3cr3t@proxy")
    begin = "defaults.proxy_from_environment: the environment variable HTTPS_PROXY: a proxy with socks5://"
    assert message.startswith(begin)
    assert "s3cr3t" not in message


@pytest.mark.parametrize(
    ("exceptions", "host", "is_without"),
    [
        ("example.com", "example.com", True),
        ("example.com", "a.b.Example.COM.", True),
        ("example.com", "notexample.com", False),
        (".example.com", "a.example.com", True),
        (".example.com", "example.com", False),
        ("*.example.com", "a.example.com", True),
        ("a, b ,, c", "b", True),
        ("*", "anything", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3", False),
        ("a:443", "a", True),
        ("a:8443", "a", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:8443", "fd00::1", False),
        ("fd00::1", "fd00::1", True),
        ("nonsense/99", "nonsense", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", False),
        ("10.0.0.0/8:443", "10.1.2.3", False),
        ("*example.com", "example.com", False),
        ("*.example.com:443", "a.example.com", True),
        (".example.com:8443", "a.example.com", False),
        ("a b", "b", False),
        ("x", "localhost", True),
        ("x", "127.3.2.1", True),
        ("x", "::1", True),
        ("", "example.com", False),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(exceptions: str, host: str, is_without: bool) -> None:  # noqa: FBT001
    assert is_excepted(Endpoint(host=host), exceptions) is is_without


@pytest.mark.parametrize(
    "url",
    [
        "proxy:3128",
        "https://u:s3cr3t@p",
        "http://",
        "http://u:s3cr3t@p/x",
        "http://u:s3cr3t",
        "http://:s3cr3t@p",
    ],
)
def test_no_message_about_a_proxys_url_shows_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"http://host:port|must not be empty|port is") as caught:
        parse_proxy_url(url)
    assert "s3cr3t" not in str(caught.value)


def test_headers_and_user_name_in_a_file_arrive(load: Load, tmp_path: Path) -> None:
    (tmp_path / "user").write_bytes(b"\xef\xbb\xbfmonitor\n")
    (tmp_path / "key").write_text("made-up\n")
    (tmp_path / "key").chmod(0o600)
    config = load(
        "defaults:\n  basic_auth: {username_file: user, password: made-up}\n"
        "  http_headers: {X-B: {values: [a, b]}}\n"
        "clusters: [{address: a, http_headers: {X-A: {secrets: ['${S}'], files: [key]}}}]\n",
        S="made-up-2",
    )
    (cluster,) = config.clusters
    assert cluster.login == BasicLogin(username_file=tmp_path / "user", password=Secret(value="made-up"))
    assert cluster.headers == (
        Header(name="X-A", value=Secret(value="made-up-2")),
        Header(name="X-A", value=Secret(file=tmp_path / "key")),
        Header(name="X-B", value=Secret(value="a"), is_secret=False),
        Header(name="X-B", value=Secret(value="b"), is_secret=False),
    )
    assert config.warnings == ()


def test_oauth2_arrives_with_its_own_proxy_and_tls(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("made-up\n")
    (tmp_path / "secret").chmod(0o600)
    config = load(
        "defaults: {basic_auth: {username: u, password: made-up}}\n"
        "clusters:\n  - address: a\n    oauth2:\n"
        "      {client_id: me, client_secret_file: secret, token_url: 'https://idp.example:8443/token?x=1',"
        " scopes: [read, write], endpoint_params: {b: '2', a: '1'}, proxy_url: 'http://proxy:3128',"
        " tls_config: {server_name: idp}}\n"
    )
    (cluster,) = config.clusters
    assert cluster.login == OAuth2Login(
        client_id="me",
        client_secret=Secret(file=tmp_path / "secret"),
        token_url="https://idp.example:8443/token?x=1",
        scopes=("read", "write"),
        parameters=(("a", Secret(value="1")), ("b", Secret(value="2"))),
        tls=Tls(server_name="idp"),
        proxy=Proxy(host="proxy", port=3128),
    )
    assert cluster.proxy is None


def test_texts_in_pem_form_arrive(load: Load) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert(common_name="monitor")
    pems = {
        "CA": f"# für alle, 全員\n{authority.cert_pem.bytes().decode()}",
        "CERT": leaf.cert_chain_pems[0].bytes().decode(),
        "KEY": leaf.private_key_pem.bytes().decode(),
    }
    config = load(
        "clusters: [{address: a, tls_config: {ca: '${CA}', cert: '${CERT}', key: '${KEY}'}}]\n", **pems
    )
    assert config.clusters[0].tls == Tls(ca=pems["CA"], cert=pems["CERT"], key=Secret(value=pems["KEY"]))
    assert config.warnings == ()
    assert pems["KEY"].splitlines()[1] not in repr(config) + masked_yaml(config)
    wrong = trustme.CA().issue_cert(common_name="x").private_key_pem.bytes().decode()
    text = "clusters: [{address: a, tls_config: {ca: x, cert: '${CERT}', key: '${KEY}'}}]\n"
    assert _messages(load, text, **pems | {"KEY": wrong}) == [
        "clusters[0].tls_config.ca: no certificate in PEM form that can be trusted",
        "clusters[0].tls_config.cert: the private key does not belong to the certificate",
    ]


def test_no_secret_is_on_the_page_and_what_is_there_loads_again(load: Load) -> None:
    secrets = {
        "S1": "s3cr3t-one",
        "S2": "s3cr3t-two",
        "S3": "s3cr3t-three",
        "S4": "s3cr3t-four",
        "S5": "s3cr3t-5",
    }
    config = load(
        "clusters:\n  - address: a\n"
        "    proxy_url: 'http://me:${S1}@proxy'\n    proxy_connect_header: {X-A: ['${S2}']}\n"
        "    http_headers: {X-B: {values: [open], secrets: ['${S3}']}}\n"
        "    oauth2: {client_id: me, client_secret: '${S4}', token_url: 'https://idp/token',"
        " endpoint_params: {a: '${S5}'}}\n",
        **secrets,
    )
    shown = masked_yaml(config)
    assert not any(secret in shown + repr(config) for secret in secrets.values())
    assert "proxy_url: http://me:<secret>@proxy:80" in shown
    assert "- open" in shown
    assert masked_yaml(load(shown)) == shown


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (_LOGIN.replace("made-up", "pa$$word"), "basic_auth.password"),
        (_LOGIN.replace("made-up", "'a$$${PW}'"), "basic_auth.password"),
        ("authorization: {credentials: a$$b}", "authorization.credentials"),
        (f"oauth2: {{{_OAUTH2.replace('made-up-2', 'a$$b')}}}", "oauth2.client_secret"),
        (f"{_LOGIN}, http_headers: {{X-A: {{secrets: [x, a$$b]}}}}", "http_headers.X-A.secrets[1]"),
        (f"{_LOGIN}, proxy_url: 'http://u:a$$b@p'", "proxy_url"),
    ],
)
def test_two_dollars_in_a_secret_are_a_warning(load: Load, written: str, key: str) -> None:
    config = load(f"defaults: {{{written}}}\nclusters: [{{address: a}}]\n", PW="made-up")
    assert [f"{warning.key}: {warning.message}" for warning in config.warnings] == [
        f"defaults.{key}: $$ stands for one $, in a secret too; write $$$$ for two"
    ]


def test_two_dollars_elsewhere_and_out_of_a_variable_are_none(load: Load) -> None:
    login = _LOGIN.replace("made-up", "'${PW}'")
    text = f"defaults: {{{login}, labels: {{price: $$5}}}}\nclusters: [{{address: a}}]\n"
    assert load(text, PW="a$$b").warnings == ()


@pytest.mark.parametrize(
    ("keys", "messages"),
    [
        (
            "proxy_url: 'http://p', proxy_from_environment: true",
            ["proxy_url: proxy_from_environment and proxy_url"],
        ),
        ("no_proxy: a", ["no_proxy: no_proxy without proxy_url"]),
        (
            "proxy_connect_header: {X-A: [a]}",
            ["proxy_connect_header: proxy_connect_header without proxy_url or proxy_from_environment"],
        ),
        (
            "http_headers: {Host: {values: [a]}, X-HTTP-Method-Override: {values: [DELETE]}, 'a b': {}}",
            [
                "http_headers.Host: this header cannot be set",
                "http_headers.X-HTTP-Method-Override: this header cannot be set",
                'http_headers["a b"]: a header\'s name is made of letters, digits and hyphens',
            ],
        ),
        (
            "http_headers: {X-A: {values: [a]}, x-a: {values: [b]}}",
            ["http_headers.x-a: the same header as X-A"],
        ),
        ('http_headers: {X-A: {values: ["a\\tb"]}}', ["http_headers.X-A.values[0]: a header's value is"]),
        ("http_headers: {X-A: {files: [gone]}}", ["http_headers.X-A.files[0]: cannot be read: No such file"]),
        (
            "oauth2: {client_id: me}",
            ["oauth2: client_secret or client_secret_file", "oauth2: token_url is missing"],
        ),
        (
            f"oauth2: {{{_OAUTH2.replace('https', 'http')}}}",
            ["oauth2.token_url: http:// is only for clusters with"],
        ),
        ("tls_config: {key: abc}", ["tls_config.key: key without cert_file"]),
    ],
)
def test_mistakes_are_told_at_their_keys(load: Load, keys: str, messages: list[str]) -> None:
    login = "" if "oauth2" in keys else f"{_LOGIN}, "
    text = f"defaults: {{{login}{keys}}}\nclusters: [{{address: a}}]\n"
    found = _messages(load, text)
    assert len(found) == len(messages)
    for one, message in zip(found, messages, strict=True):
        assert one.startswith(f"defaults.{message}"), found


def test_a_cluster_with_http_has_no_proxy(load: Load) -> None:
    text = (
        f"defaults: {{{_LOGIN}, proxy_url: 'http://p', allow_http: true}}\n"
        "clusters: [{address: 'http://a'}, {address: b}]\n"
    )
    (message,) = _messages(load, text)
    assert message.startswith(
        "defaults.proxy_url: a cluster with http:// cannot use a proxy, which could read the login; "
    )


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        *(("poll_intervall", "poll_interval"), ("interval", "poll_interval"), ("proxy", "proxy_url")),
        *(("adress", "address"), ("tls", "tls_config"), ("label", "labels"), ("timeout", "poll_timeout")),
        *(("http2", None), ("metrics_path", None), ("static_configs", None), ("file_sd_configs", None)),
        *(("basicAuth", "basic_auth"), ("tls-config", "tls_config"), ("tls_server_config", "tls_config")),
        *(("http_config", None), ("sd_configs", None), ("auth", None), ("read_timeout", None)),
        *(("honor_labels", None), ("job_name", None), ("scheme_", None), ("relabel_configs", None)),
    ],
)
def test_a_hint_is_given_only_for_what_is_nearly_the_key(load: Load, key: str, meant: str | None) -> None:
    (message,) = _messages(load, f"clusters:\n  - address: a\n  - {{{_LOGIN}, address: b, {key}: x}}\n")
    hint = "" if meant is None else f"; did you mean {meant}?"
    assert message == f"clusters[1].{key}: unknown key{hint}"


_UNSUPPORTED = {
    "defaults": [
        *("follow_redirects", "enable_http2", "bearer_token", "bearer_token_file", "sigv4", "azuread"),
        *("google_iam", "scrape_interval", "scrape_timeout", "scheme"),
    ],
    "defaults.basic_auth": ["username_ref", "password_ref"],
    "defaults.authorization": ["credentials_ref"],
    "defaults.tls_config": ["ca_ref", "cert_ref", "key_ref", "max_version", "next_protos"],
    "defaults.oauth2": ["client_secret_ref", "grant_type"],
}


@pytest.mark.parametrize(
    ("above", "key"), [(above, key) for above, keys in _UNSUPPORTED.items() for key in keys], ids=str
)
def test_what_prometheus_has_and_the_exporter_has_not_is_named_as_such(
    load: Load, above: str, key: str
) -> None:
    inner = f"{key}: 1"
    for name in reversed(above.split(".")[1:]):
        inner = f"{name}: {{{inner}}}"
    (message,) = (
        one for one in _messages(load, f"defaults: {{{inner}}}\nclusters: [{{address: a}}]\n") if key in one
    )
    assert message.startswith(f"{above}.{key}: is not supported: ")
    assert "did you mean" not in message
