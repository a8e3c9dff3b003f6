"""The ``cleanup`` section: values, defaults, warnings, and which clusters a policy is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import Config, ConfigError, PolicyConfig
from exporter.config.schema import ClusterSelector
from exporter.ontap.cluster_settings import ClusterSettings, Endpoint, Tls

Load = Callable[..., Config]

_CLUSTERS = """\
defaults: {basic_auth: {username: monitor, password: made-up}}
clusters:
  - {name: ams-prod-01, address: 10.0.0.1, labels: {site: ams, tier: prod}}
  - {name: lon-dr-01, address: 10.0.0.2, labels: {site: lon}}
"""

_CLUSTER = ClusterSettings(
    name="ams-prod-01",
    endpoint=Endpoint(host="10.0.0.1"),
    login=None,
    tls=Tls(),
    labels=(("site", "ams"), ("tier", "prod")),
    poll_interval=timedelta(minutes=5),
    poll_timeout=timedelta(minutes=1),
    stale_after=timedelta(minutes=15),
    return_timeout_seconds=15,
    max_records=500,
)

_POLICY = PolicyConfig(name="retire-old", every=timedelta(days=1), keep_newest=2)


def _policy_for(**clusters: object) -> PolicyConfig:
    """Return a policy for clusters with such names and labels, also with such as no file may hold."""
    return _POLICY.model_copy(update={"clusters": ClusterSelector().model_copy(update=clusters)})


def _policies(load: Load, *policies: str, **environ: str) -> list[PolicyConfig]:
    cleanup = load(_with(*policies), **environ).cleanup
    assert cleanup is not None
    return cleanup.policies


def _policy(load: Load, keys: str, **environ: str) -> PolicyConfig:
    (policy,) = _policies(load, f"name: a, every: 24h, keep_newest: 2, {keys}", **environ)
    return policy


def _with(*policies: str, state: str | None = None) -> str:
    settings = "" if state is None else f"  state: {state}\n"
    entries = "".join(f"    - {{{policy}}}\n" for policy in policies)
    return f"{_CLUSTERS}cleanup:\n{settings}  policies:\n{entries}"


def _state(load: Load, state: str | None, **environ: str) -> str:
    cleanup = load(_with("name: a, every: 24h, keep_newest: 2", state=state), **environ).cleanup
    assert cleanup is not None
    return cleanup.state.dsn


def _warnings(load: Load, *policies: str) -> list[str]:
    config = load(_with(*policies))
    return [f"{warning.line}: {warning.key}: {warning.message}" for warning in config.warnings]


def test_without_the_section_nothing_is_ever_deleted(load: Load) -> None:
    assert load(_CLUSTERS).cleanup is None


def test_every_key_arrives(load: Load, tmp_path: Path) -> None:
    text = """\
cleanup:
  state: postgresql://exporter@db.example:5433/ontap
  max_concurrent_clusters: 7
  takeover_after: 1m
  max_deletes_per_day: 200
  policies:
    - name: retire-old
      clusters: {names: ["ams-*", "lon-*"], labels: {tier: prod, site: ams}}
      schedule: "0  3 * *   sat"
      timezone: Europe/Amsterdam
      keep_newest: 3
      older_than: 180d
      include: ["9.*"]
      exclude: ["9.14.1*", "9.15.1"]
      seen_for: 0s
      start_within: 5m
      stop_after_failures: 0
      approved_plan: plans/plan.json
      approval_valid_for: 1d
      max_deletes_per_run: 9
      dry_run: false
      return_timeout: 120
      job_timeout: 1h
      retry_busy_for: 0s
"""
    cleanup = load(_CLUSTERS + text).cleanup
    assert cleanup is not None
    assert cleanup.state.dsn == "postgresql://exporter@db.example:5433/ontap"
    assert cleanup.max_concurrent_clusters == 7
    assert cleanup.takeover_after == timedelta(minutes=1)
    assert cleanup.max_deletes_per_day == 200
    (policy,) = cleanup.policies
    assert policy == PolicyConfig(
        name="retire-old",
        clusters=ClusterSelector(names=["ams-*", "lon-*"], labels={"site": "ams", "tier": "prod"}),
        schedule="0 3 * * sat",
        timezone="Europe/Amsterdam",
        keep_newest=3,
        older_than=timedelta(days=180),
        include=["9.*"],
        exclude=["9.14.1*", "9.15.1"],
        seen_for=timedelta(0),
        start_within=timedelta(minutes=5),
        stop_after_failures=0,
        approved_plan=tmp_path / "plans" / "plan.json",
        approval_valid_for=timedelta(days=1),
        max_deletes_per_run=9,
        dry_run=False,
        return_timeout=120,
        job_timeout=timedelta(hours=1),
        retry_busy_for=timedelta(0),
    )


def test_keys_that_are_left_out_have_their_defaults(load: Load, tmp_path: Path) -> None:
    cleanup = load(_with("name: retire-old, every: 1d, keep_newest: 2")).cleanup
    assert cleanup is not None
    assert cleanup.state.dsn == f"sqlite:///{tmp_path}/state.db"
    assert cleanup.max_concurrent_clusters == 4
    assert cleanup.takeover_after == timedelta(seconds=30)
    assert cleanup.max_deletes_per_day is None
    assert cleanup.policies == [_POLICY]


def test_age_alone_is_enough(load: Load) -> None:
    (policy,) = _policies(load, "name: a, every: 24h, older_than: 26w")
    assert (policy.keep_newest, policy.older_than) == (None, timedelta(weeks=26))


def test_policies_keep_the_order_of_the_file(load: Load) -> None:
    policies = _policies(load, *(f"name: {name}, every: 24h, keep_newest: 1" for name in "cab"))
    assert [policy.name for policy in policies] == ["c", "a", "b"]


def test_policies_may_share_a_yaml_anchor(load: Load) -> None:
    text = """\
cleanup:
  policies:
    - &base {name: plan, every: 24h, keep_newest: 2, older_than: 90d}
    - {<<: *base, name: delete, dry_run: false}
"""
    cleanup = load(_CLUSTERS + text).cleanup
    assert cleanup is not None
    plan, delete = cleanup.policies
    assert delete == plan.model_copy(update={"name": "delete", "dry_run": False})


@pytest.mark.parametrize("written", ["false", "no", "off", "False", '"false"', '"${OFF}"'])
def test_only_dry_run_false_deletes(load: Load, written: str) -> None:
    assert _policy(load, f"dry_run: {written}", OFF="false").dry_run is False


@pytest.mark.parametrize(
    "written", ["flase", "fals", "''", "~", "0", "1", "'no'", '"${EMPTY}"', "[]", "f", "none"]
)
def test_a_slip_of_the_pen_never_deletes(load: Load, written: str) -> None:
    with pytest.raises(ConfigError, match=r"policies\[0\]\.dry_run: "):
        _policy(load, f"dry_run: {written}", EMPTY="")


def test_numbers_may_come_out_of_the_environment(load: Load) -> None:
    policy = _policy(
        load, 'max_deletes_per_run: "${MOST}", return_timeout: "${SECONDS}"', MOST="3", SECONDS="0"
    )
    assert (policy.max_deletes_per_run, policy.return_timeout) == (3, 0)


def test_nothing_needs_to_be_excluded(load: Load) -> None:
    assert _policy(load, "exclude: []").exclude == []


def test_state_file_is_relative_to_the_configuration(load: Load, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert _state(load, "sqlite:///state/state.db") == f"sqlite:///{tmp_path}/state/state.db"


def test_state_may_be_anywhere(load: Load, tmp_path: Path) -> None:
    assert _state(load, f"sqlite:///{tmp_path}/a b$$.db") == f"sqlite:///{tmp_path}/a b$.db"


def test_file_whose_folder_is_missing_is_warned_of(load: Load, tmp_path: Path) -> None:
    config = load(_with("name: a, every: 24h, keep_newest: 2", state="sqlite:///no-such-folder/state.db"))
    (warning,) = config.warnings
    assert (warning.line, warning.key) == (6, "cleanup.state")
    assert warning.message == (
        f"its folder does not exist, so nothing is deleted until it does: {tmp_path}/no-such-folder/state.db"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "not a saved plan: the document: Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "not a saved plan: the document: Input should be an object"),
        ('{"plans": []}', "not a saved plan: saved_timestamp_seconds: Field required"),
        (
            '{"saved_timestamp_seconds": 1, "plans": [{"cluster": "a"}]}',
            "not a saved plan: plans.0.cluster_uuid: Field required",
        ),
    ],
)
def test_an_approved_plan_that_is_none_is_warned_of(
    content: str | None, why: str, load: Load, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    policy = "name: a, every: 24h, keep_newest: 2, approved_plan: plan.json"
    warning = f"{why}, so nothing is deleted until a plan is saved there: {tmp_path}/plan.json"
    assert _warnings(load, policy) == [f"7: cleanup.policies[0].approved_plan: {warning}"]
    (tmp_path / "plan.json").write_text('{"saved_timestamp_seconds": 1, "plans": []}')
    assert _warnings(load, policy) == []


def test_state_that_exists_is_taken_up(load: Load, tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    assert _state(load, None) == f"sqlite:///{tmp_path}/state.db"


def test_password_of_the_state_may_come_out_of_the_environment_and_is_not_shown(load: Load) -> None:
    state = "postgresql://exporter:${PW}@db/ontap"
    config = load(_with("name: a, every: 24h, keep_newest: 2", state=state), PW="s3cr3t")
    assert config.cleanup is not None
    assert config.cleanup.state.dsn == "postgresql://exporter:s3cr3t@db/ontap"
    assert "s3cr3t" not in repr(config)


def test_policy_without_a_cluster_is_warned_of(load: Load) -> None:
    assert _warnings(
        load,
        "name: none, every: 24h, keep_newest: 2, clusters: {names: [par-*]}",
        "name: both, every: 24h, keep_newest: 2, clusters: {names: [ams-*], labels: {site: lon}}",
        "name: one, every: 24h, keep_newest: 2, clusters: {names: [par-*, ams-*], labels: {site: ams}}",
        "name: all, every: 24h, keep_newest: 2",
    ) == [
        "7: cleanup.policies[0].clusters: matches no cluster",
        "8: cleanup.policies[1].clusters: matches no cluster",
    ]


def test_policy_that_runs_more_than_once_a_minute_is_warned_of(load: Load) -> None:
    assert _warnings(load, "name: a, every: 1s, keep_newest: 2", "name: b, every: 1m, keep_newest: 2") == [
        "7: cleanup.policies[0].every: every (1s) is shorter than 1m"
    ]


def test_labels_of_profiles_and_defaults_count_too(load: Load) -> None:
    config = load(
        "defaults: {labels: {team: storage}}\n"
        "profiles: {dr: {labels: {site: dr}}}\n"
        "clusters: [{address: a, profile: dr}, {address: b}]\n"
        "cleanup: {policies: [{name: a, every: 24h, keep_newest: 1,"
        " clusters: {labels: {site: dr, team: storage}}}]}\n"
    )
    assert config.cleanup is not None
    (policy,) = config.cleanup.policies
    assert [policy.clusters.has(cluster) for cluster in config.clusters] == [True, False]


@pytest.mark.parametrize(
    ("names", "applies"),
    [
        (None, True),
        (["*"], True),
        (["ams-prod-01"], True),
        (["ams-*"], True),
        (["lon-*", "ams-prod-0[0-9]"], True),
        (["ams-prod-??"], True),
        (["AMS-*"], False),
        (["ams"], False),
        (["prod"], False),
        (["[!a]*", "*-02"], False),
    ],
)
def test_one_of_the_names_must_match_as_a_whole(names: list[str] | None, applies: bool) -> None:  # noqa: FBT001
    assert _policy_for(names=names).clusters.has(_CLUSTER) is applies


@pytest.mark.parametrize(
    ("labels", "applies"),
    [
        ({}, True),
        ({"site": "ams"}, True),
        ({"site": "ams", "tier": "prod"}, True),
        ({"site": "ams", "tier": "dev"}, False),
        ({"site": "*"}, False),
        ({"site": "AMS"}, False),
        ({"rack": ""}, False),
    ],
)
def test_every_label_must_be_equal(labels: dict[str, str], applies: bool) -> None:  # noqa: FBT001
    assert _policy_for(labels=labels).clusters.has(_CLUSTER) is applies


_texts = st.text("ab-.*?[]!^\\&~|\n", max_size=6)
_labels = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["", "1", "2"]), max_size=3)


@given(name=_texts, globs=st.lists(_texts, max_size=4), chosen=_labels, carried=_labels)
@example(name="[a", globs=["[[]a"], chosen={}, carried={})
def test_policy_is_for_a_cluster_that_a_name_and_all_labels_choose(
    name: str, globs: list[str], chosen: dict[str, str], carried: dict[str, str]
) -> None:
    cluster = replace(_CLUSTER, name=name, labels=tuple(sorted(carried.items())))
    policy = _policy_for(names=globs or None, labels=chosen)
    has_name = not globs or any(fnmatchcase(name, glob) for glob in globs)
    assert policy.clusters.has(cluster) is (has_name and chosen.items() <= carried.items())


@given(globs=st.lists(_texts, max_size=4), more=_texts, labels=_labels)
def test_another_label_never_chooses_more_and_another_name_never_less(
    globs: list[str], more: str, labels: dict[str, str]
) -> None:
    policy = _policy_for(names=globs or None, labels=labels)
    narrowed = _policy_for(names=globs or None, labels={**labels, "site": "ams"})
    assert policy.clusters.has(_CLUSTER) >= narrowed.clusters.has(_CLUSTER)
    if globs:
        widened = _policy_for(names=[*globs, more], labels=labels)
        assert widened.clusters.has(_CLUSTER) >= policy.clusters.has(_CLUSTER)
