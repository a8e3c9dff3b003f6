"""Two loads of the same content are equal, those of other content are not: a reload restarts what differs."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config, PolicyConfig, load_config
from exporter.ontap.cluster_settings import ClusterSettings

Load = Callable[..., Config]

_CLUSTER: dict[str, Any] = {
    "name": "a",
    "address": "10.0.0.1",
    "poll_interval": "5m",
    "poll_timeout": "1m",
    "return_timeout": 15,
    "max_records": 500,
    "stale_after": "15m",
    "basic_auth": {"username": "u", "password": "made-up"},
    "tls_config": {"server_name": "a", "insecure_skip_verify": False, "min_version": "TLS12"},
    "allow_http": False,
    "labels": {"site": "ams"},
}
_POLICY: dict[str, Any] = {
    "name": "p",
    "clusters": {"names": ["a*"], "labels": {"site": "ams"}},
    "schedule": "0 3 * * sat",
    "timezone": "UTC",
    "keep_newest": 2,
    "older_than": "180d",
    "include": ["*"],
    "exclude": ["9.1*"],
    "max_deletes_per_run": 5,
    "dry_run": True,
    "return_timeout": 0,
    "job_timeout": "30m",
    "retry_busy_for": "30m",
}
# Every key, and another value for it.
_CLUSTER_CHANGES: list[tuple[str, Any]] = [
    ("name", "b"),
    ("address", "10.0.0.2"),
    ("address", "10.0.0.1:8443"),
    ("poll_interval", "6m"),
    ("poll_timeout", "61s"),
    ("return_timeout", 16),
    ("max_records", 501),
    ("stale_after", "16m"),
    ("basic_auth", {"username": "v", "password": "made-up"}),
    ("basic_auth", {"username": "u", "password": "made-up-2"}),
    ("basic_auth", {"username": "u", "password_file": "one"}),
    ("basic_auth", {"username": "u", "password_file": "two"}),
    ("authorization", {"credentials": "made-up"}),
    ("authorization", {"credentials": "made-up-2"}),
    ("authorization", {"type": "Other", "credentials": "made-up"}),
    ("authorization", {"credentials_file": "one"}),
    ("tls_config", {"server_name": "b"}),
    ("tls_config", {"insecure_skip_verify": True}),
    ("tls_config", {"min_version": "TLS13"}),
    ("labels", {"site": "lon"}),
    ("labels", {"site": "ams", "rack": "1"}),
    ("labels", {}),
]
_POLICY_CHANGES: list[tuple[str, Any]] = [
    ("name", "q"),
    ("clusters", {"names": ["b*"], "labels": {"site": "ams"}}),
    ("clusters", {"names": ["a*"], "labels": {"site": "lon"}}),
    ("clusters", {"names": ["a*"]}),
    ("schedule", "1 3 * * sat"),
    ("timezone", "Europe/Amsterdam"),
    ("keep_newest", 3),
    ("older_than", "181d"),
    ("include", ["9*"]),
    ("exclude", []),
    ("max_deletes_per_run", 6),
    ("dry_run", False),
    ("return_timeout", 1),
    ("job_timeout", "31m"),
    ("retry_busy_for", "0s"),
]


def _loaded(folder: Path, cluster: dict[str, Any], policy: dict[str, Any], *, lines: int = 0) -> Config:
    for name in ("one", "two"):
        (folder / name).write_text("made-up")
    path = folder / "config.yaml"
    structure = {"clusters": [cluster], "cleanup": {"policies": [policy]}}
    path.write_text("# moved down\n" * lines + yaml.safe_dump(structure))
    return load_config(path, environ={})


def _changed(mapping: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = deepcopy(mapping) | {key: value}
    if key == "authorization":
        del changed["basic_auth"]
    return changed


def _policies(config: Config) -> list[PolicyConfig]:
    assert config.cleanup is not None
    return config.cleanup.policies


def test_same_content_on_other_lines_is_equal(tmp_path: Path) -> None:
    one = _loaded(tmp_path, _CLUSTER, _POLICY)
    two = _loaded(tmp_path, _CLUSTER, _POLICY, lines=3)
    assert one == two
    assert one.clusters == two.clusters
    assert one.cleanup == two.cleanup


def test_every_change_of_a_cluster_makes_it_unequal(tmp_path: Path) -> None:
    assert {key for key, _ in _CLUSTER_CHANGES} | {"allow_http"} == {*_CLUSTER, "authorization"}
    clusters = [_loaded(tmp_path, _CLUSTER, _POLICY).clusters[0]]
    for key, value in _CLUSTER_CHANGES:
        config = _loaded(tmp_path, _changed(_CLUSTER, key, value), _POLICY)
        assert _policies(config) == _policies(_loaded(tmp_path, _CLUSTER, _POLICY))
        clusters.append(config.clusters[0])
    _assert_all_differ(clusters)


def test_every_change_of_a_policy_makes_it_unequal(tmp_path: Path) -> None:
    assert {key for key, _ in _POLICY_CHANGES} == set(_POLICY)
    policies = [*_policies(_loaded(tmp_path, _CLUSTER, _POLICY))]
    for key, value in _POLICY_CHANGES:
        config = _loaded(tmp_path, _CLUSTER, _changed(_POLICY, key, value))
        policies += _policies(config)
    _assert_all_differ(policies)


def _assert_all_differ(values: list[ClusterSettings] | list[PolicyConfig]) -> None:
    equal = [(i, j) for i, one in enumerate(values) for j, two in enumerate(values) if i < j and one == two]
    assert equal == []


def test_profile_and_defaults_count_by_what_they_come_to(load: Load) -> None:
    one = load("defaults: {poll_interval: 2m}\nclusters: [{address: a}, {address: b, poll_interval: 3m}]\n")
    two = load("defaults: {poll_interval: 4m}\nclusters: [{address: a}, {address: b, poll_interval: 3m}]\n")
    assert [x == y for x, y in zip(one.clusters, two.clusters, strict=True)] == [False, True]


def test_content_of_a_secrets_file_does_not_count(tmp_path: Path) -> None:
    cluster = _changed(_CLUSTER, "basic_auth", {"username": "u", "password_file": "secret"})
    (tmp_path / "secret").write_text("made-up")
    one = _loaded(tmp_path, cluster, _POLICY)
    (tmp_path / "secret").write_text("made-up-2")
    assert one == _loaded(tmp_path, cluster, _POLICY)


def test_value_of_an_environment_variable_counts(load: Load) -> None:
    text = "clusters: [{address: a, basic_auth: {username: u, password: '${PW}'}}]\n"
    assert load(text, PW="made-up") == load(text, PW="made-up")
    assert load(text, PW="made-up") != load(text, PW="made-up-2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("equality")


@settings(deadline=None)
@given(
    changes=st.lists(st.sampled_from(_CLUSTER_CHANGES), max_size=4),
    policy_changes=st.lists(st.sampled_from(_POLICY_CHANGES), max_size=4),
    lines=st.integers(0, 2),
)
def test_any_content_is_equal_to_itself(
    folder: Path,
    changes: list[tuple[str, Any]],
    policy_changes: list[tuple[str, Any]],
    lines: int,
) -> None:
    cluster = _CLUSTER | dict(changes)
    if "authorization" in cluster:
        cluster.pop("basic_auth")
    policy = _POLICY | dict(policy_changes)
    assert _loaded(folder, cluster, policy) == _loaded(folder, cluster, policy, lines=lines)
