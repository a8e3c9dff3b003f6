"""What a good file means: the defaults, then the profile, then the cluster's own entry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.config import Config, ConfigError, masked_yaml
from exporter.metrics.cleanup_metrics import CLEANUP_FAMILIES
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES
from exporter.metrics.family import Row
from exporter.ontap.cluster_settings import (
    BasicLogin,
    ClusterSettings,
    Endpoint,
    Login,
    Secret,
    Tls,
    TlsVersion,
    TokenLogin,
)

Load = Callable[..., Config]

_NO_LOGIN = "no login: neither basic_auth nor authorization nor oauth2 nor a client certificate"
_LOGIN = "defaults: {basic_auth: {username: monitor, password: made-up}}\n"


def _layered(defaults: str, profile: str, own: str) -> str:
    return (
        f"defaults: {{{defaults}}}\nprofiles: {{p: {{{profile}}}}}\n"
        f"clusters: [{{address: a, profile: p, {own}}}]\n"
    )


def _warnings(config: Config) -> list[str]:
    return [f"{warning.line}: {warning.key}: {warning.message}" for warning in config.warnings]


def test_smallest_file_has_every_default(load: Load) -> None:
    config = load(_LOGIN + "clusters:\n  - address: 10.20.0.5\n")
    assert config.max_concurrent_polls == 64
    assert config.warnings == ()
    assert config.clusters == (
        ClusterSettings(
            name="10.20.0.5",
            endpoint=Endpoint(host="10.20.0.5"),
            login=BasicLogin(username="monitor", password=Secret(value="made-up")),
            tls=Tls(),
            labels=(),
            poll_interval=timedelta(minutes=5),
            poll_timeout=timedelta(minutes=1),
            stale_after=timedelta(minutes=15),
            return_timeout_seconds=15,
            max_records=500,
        ),
    )


def test_clusters_keep_the_order_of_the_file(load: Load) -> None:
    config = load(_LOGIN + "clusters: [{address: c}, {address: a}, {address: b}]\n")
    assert [cluster.name for cluster in config.clusters] == ["c", "a", "b"]


def test_default_name_of_an_ipv6_address_has_no_brackets(load: Load) -> None:
    assert load(_LOGIN + 'clusters: [{address: "[fd00::1]:8443"}]\n').clusters[0].name == "fd00::1"


def test_nearer_layers_override_key_by_key(load: Load) -> None:
    text = _layered(
        "poll_interval: 1m, return_timeout: 1, max_records: 1, poll_timeout: 30s, labels: {a: d, b: d, c: d},"
        " tls_config: {server_name: d, min_version: TLS13, insecure_skip_verify: true}",
        "return_timeout: 2, max_records: 2, labels: {b: p, c: p}, tls_config: {server_name: p}",
        "max_records: 3, labels: {c: o}, tls_config: {insecure_skip_verify: false}",
    )
    cluster = load(text).clusters[0]
    assert cluster.poll_interval == timedelta(minutes=1)
    assert cluster.poll_timeout == timedelta(seconds=30)
    assert (cluster.return_timeout_seconds, cluster.max_records) == (2, 3)
    assert cluster.labels == (("a", "d"), ("b", "p"), ("c", "o"))
    assert cluster.tls == Tls(server_name="p", min_version=TlsVersion.TLS13)


def test_default_return_timeout_is_below_poll_timeout(load: Load) -> None:
    text = _LOGIN + (
        "clusters: [{address: a, poll_timeout: 5s}, {address: b, poll_timeout: 500ms}, {address: c},"
        " {address: d, poll_timeout: 15s}, {address: e, poll_timeout: 5s, return_timeout: 2}]\n"
    )
    config = load(text)
    assert [cluster.return_timeout_seconds for cluster in config.clusters] == [4, 0, 15, 14, 2]
    shown = masked_yaml(config).replace("<secret>", "made-up")
    assert load(shown).clusters == config.clusters


def test_stale_after_follows_the_poll_interval_of_the_cluster(load: Load) -> None:
    text = (
        _LOGIN + "clusters: [{address: a, poll_interval: 20m}, {address: b, stale_after: 2h}, {address: c}]\n"
    )
    minutes = [cluster.stale_after // timedelta(minutes=1) for cluster in load(text).clusters]
    assert minutes == [60, 120, 15]


_BASIC = BasicLogin(username="u", password=Secret(value="s"))
_TOKEN = TokenLogin(credentials=Secret(value="t"))


@pytest.mark.parametrize(
    ("defaults", "profile", "own", "login"),
    [
        ("basic_auth: {username: u, password: s}", "", "", _BASIC),
        ("basic_auth: {username: x, password: s}", "basic_auth: {username: u}", "", _BASIC),
        ("basic_auth: {username: u}", "", "basic_auth: {password: s}", _BASIC),
        ("authorization: {credentials: t}", "basic_auth: {username: u, password: s}", "", _BASIC),
        ("basic_auth: {username: u, password: s}", "", "authorization: {credentials: t}", _TOKEN),
        (
            "basic_auth: {username: x, password: x}",
            "authorization: {credentials: t}",
            "basic_auth: {username: u, password: s}",
            _BASIC,
        ),
        ("authorization: {type: Other, credentials: t}", "authorization: {type: Bearer}", "", _TOKEN),
    ],
)
def test_login_of_a_nearer_layer_wins(
    load: Load, defaults: str, profile: str, own: str, login: Login
) -> None:
    assert load(_layered(defaults, profile, own)).clusters[0].login == login


@pytest.mark.parametrize("first", ["password", "password_file"])
def test_password_and_its_file_replace_each_other(load: Load, tmp_path: Path, first: str) -> None:
    (tmp_path / "secret").write_text("made-up\n")
    (tmp_path / "secret").chmod(0o600)
    written = {"password": "password: in-place", "password_file": "password_file: secret"}
    second = "password_file" if first == "password" else "password"
    login = load(
        _layered(f"basic_auth: {{username: u, {written[first]}}}", "", f"basic_auth: {{{written[second]}}}")
    )
    secret = {"password": Secret(value="in-place"), "password_file": Secret(file=tmp_path / "secret")}[second]
    assert login.clusters[0].login == BasicLogin(username="u", password=secret)
    assert login.warnings == ()


def test_dropped_login_takes_nothing_along(load: Load) -> None:
    text = _layered(
        "basic_auth: {username: u, password: s}",
        "authorization: {credentials: t}",
        "basic_auth: {username: u}",
    )
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert [problem.message for problem in caught.value.problems] == ["password or password_file is missing"]


def test_mistake_that_many_clusters_inherit_is_reported_once(load: Load) -> None:
    clusters = "".join(f"  - address: 10.0.0.{number}\n" for number in range(100))
    with pytest.raises(ConfigError) as caught:
        load("defaults:\n  basic_auth: {username: monitor}\nclusters:\n" + clusters)
    assert len(caught.value.problems) == 1


def test_mistake_in_a_key_causes_no_second_message_about_what_depends_on_it(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            "clusters: [{address: a, basic_auth: {usrname: monitor}, return_timeout: x, poll_timeout: 1s}]\n"
        )
    assert [problem.key for problem in caught.value.problems] == [
        "clusters[0].basic_auth[…]",
        "clusters[0].return_timeout",
    ]


def test_variables_give_text_numbers_and_truth_values(load: Load) -> None:
    text = (
        'defaults: {basic_auth: {username: "${USER}", password: "${PW}"}}\n'
        "clusters:\n  - address: ${HOST}\n    max_records: ${MAX}\n    allow_http: ${HTTP}\n"
        "    name: $${HOST}\n"
    )
    cluster = load(text, USER="monitor", PW="12345", HOST="http://ams", MAX="50", HTTP="true").clusters[0]
    assert cluster.login == BasicLogin(username="monitor", password=Secret(value="12345"))
    assert cluster.endpoint == Endpoint(scheme="http", host="ams", port=80)
    assert (cluster.max_records, cluster.name) == (50, "${HOST}")


def test_anchors_and_merge_keys_are_followed(load: Load) -> None:
    text = (
        "profiles:\n  base: &base {labels: &site {site: ams}, poll_interval: 10m}\n"
        "  more: {<<: *base, poll_interval: 20m}\n  most: {labels: {<<: [*site, {site: lon, row: a}]}}\n"
        "clusters:\n  - {address: a, profile: base}\n  - {address: b, profile: more}\n"
        "  - {address: c, profile: most}\n"
    )
    clusters = load(_LOGIN + text).clusters
    assert [cluster.poll_interval // timedelta(minutes=1) for cluster in clusters] == [10, 20, 5]
    assert clusters[1].labels == (("site", "ams"),)
    assert clusters[2].labels == (("row", "a"), ("site", "ams"))


def test_commented_out_sections_are_empty_ones(load: Load) -> None:
    config = load("defaults:\nprofiles:\n  p:\nclusters: [{address: a, profile: p, labels: }]\n")
    assert config.clusters[0].labels == ()


def test_byte_order_mark_and_dos_line_ends_are_no_mistake(load: Load) -> None:
    assert (
        load("\ufeff" + _LOGIN.replace("\n", "\r\n") + "clusters: [{address: a}]\r\n").clusters[0].name == "a"
    )


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "clusters:\n  - address: a\n",
            f"2: clusters[0]: {_NO_LOGIN}",
        ),
        (
            _LOGIN + "clusters:\n  - address: a\n    tls_config: {insecure_skip_verify: true}\n",
            "4: clusters[0].tls_config.insecure_skip_verify: the cluster's certificate is not verified",
        ),
        (
            _LOGIN + "clusters:\n  - address: a\n  - {address: 'A.:443', name: b}\n",
            "4: clusters[1].address: the same address as {file}:3: clusters[0].address",
        ),
        (
            _LOGIN + "clusters:\n  - {address: a, stale_after: 4m}\n",
            (
                "3: clusters[0].stale_after: stale_after (4m) is shorter than poll_interval (5m):"
                " series vanish between polls"
            ),
        ),
        (
            _LOGIN + "clusters:\n  - {address: a, poll_interval: 30s}\n",
            (
                "3: clusters[0].poll_interval: poll_timeout (1m) exceeds poll_interval (30s):"
                " polls of a slow cluster come late"
            ),
        ),
        (
            _LOGIN + "clusters:\n  - {address: a, labels: {job: x}}\n",
            (
                "3: clusters[0].labels.job: Prometheus sets this label, and keeps this one only with"
                " honor_labels: true"
            ),
        ),
        (
            _LOGIN + "profiles:\n  p: {}\nclusters: [{address: a}]\n",
            "3: profiles.p: no cluster uses this profile",
        ),
        (
            _LOGIN + "clusters:\n  - {address: 'http://a', allow_http: true}\n",
            "3: clusters[0].address: http:// sends the login unencrypted",
        ),
    ],
)
def test_a_value_that_is_probably_a_mistake_is_a_warning(
    load: Load, tmp_path: Path, text: str, warning: str
) -> None:
    assert _warnings(load(text)) == [warning.replace("{file}", str(tmp_path / "config.yaml"))]


ROWS: tuple[Row[Any], ...] = (*CLUSTER_FAMILIES, *CLEANUP_FAMILIES)
OWN_LABELS = {label for row in ROWS for label in row.labels}


@pytest.mark.parametrize("label", sorted({"cluster", "policy", *OWN_LABELS}))
def test_no_cluster_may_have_a_label_that_its_metrics_have(load: Load, label: str) -> None:
    with pytest.raises(ConfigError, match=f"labels.{label}: the exporter itself sets this label"):
        load(f"clusters: [{{address: ams.example.com, labels: {{{label}: x}}}}]")
