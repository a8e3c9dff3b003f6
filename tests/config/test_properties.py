"""What holds for every configuration: merging, secrets, and the way to the shown form and back."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config, format_duration, load_config, masked_yaml
from exporter.config.reading.document import escape
from exporter.ontap.cluster_settings import BasicLogin, ClusterSettings, OAuth2Login, TokenLogin

_on_disk = settings(deadline=None)
_SECRET = "s3cr3t-"

_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
_secret = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8).map(_SECRET.__add__)
_label_name = st.sampled_from(["site", "rack", "row", "a1"])


def _partial(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


_basic_auth = _partial(username=_text.map(lambda text: text.replace(":", "-")), password=_secret)
_authorization = _partial(type=st.sampled_from(["Bearer", "Other"]), credentials=_secret)
_settings = {
    "poll_interval": st.sampled_from(["2m", "5m", "1h30m"]),
    "poll_timeout": st.sampled_from(["125s", "150s"]),
    "return_timeout": st.integers(0, 120),
    "max_records": st.integers(1, 10_000),
    "stale_after": st.sampled_from(["1ms", "3h"]),
    "tls_config": _partial(
        server_name=st.sampled_from(["ams", "lon"]),
        insecure_skip_verify=st.booleans(),
        min_version=st.sampled_from(["TLS12", "TLS13"]),
    ),
    "labels": st.dictionaries(_label_name, _text),
}


def _layer(settings: dict[str, Any], login: dict[str, Any]) -> dict[str, Any]:
    return settings | login


_layers = st.builds(
    _layer,
    _partial(**_settings),
    st.just({})
    | st.builds(lambda login: {"basic_auth": login}, _basic_auth)
    | st.builds(lambda login: {"authorization": login}, _authorization),
)
_complete = st.builds(
    _layer,
    _partial(**_settings),
    st.builds(
        lambda name, secret: {"basic_auth": {"username": name, "password": secret}}, st.just("u"), _secret
    ),
)


_glob = st.sampled_from(["*", "ams-*", "[ab]?", "$HOME", "9.1[0-4]*"]) | _text.map(
    lambda text: f"g{text.replace('[', '(')}g"
)
_policy = st.builds(
    _layer,
    _partial(
        clusters=_partial(
            names=st.lists(_glob, min_size=1, max_size=3),
            labels=st.dictionaries(_label_name, _text, min_size=1),
        ).filter(bool),
        older_than=st.sampled_from(["1ms", "26w", "180d"]),
        include=st.lists(_glob, min_size=1, max_size=3),
        exclude=st.lists(_glob, max_size=3),
        max_deletes_per_run=st.integers(1, 100_000),
        dry_run=st.booleans(),
        return_timeout=st.integers(0, 120),
        job_timeout=st.sampled_from(["1ms", "1h30m"]),
        retry_busy_for=st.sampled_from(["0s", "45m"]),
        keep_newest=st.integers(1, 100_000),
    ).filter(lambda policy: policy.keys() & {"older_than", "keep_newest"}),
    st.builds(lambda every: {"every": every}, st.sampled_from(["1s", "24h", "292y"]))
    | st.builds(
        lambda schedule, timezone: {"schedule": schedule} | timezone,
        st.sampled_from(["0 3 * * sat", "*/5 * * * *"]),
        _partial(timezone=st.sampled_from(["UTC", "Europe/Amsterdam"])),
    ),
)
_state = st.sampled_from(
    [
        "sqlite:///state.db",
        "sqlite:////tmp/a$b.db",
        "postgresql://u@db/ontap",
        f"postgresql://u:{_SECRET}$@db/ontap?port=1&password={_SECRET}",
        f"postgresql://db/ontap?sslpassword={_SECRET}&x={_SECRET}",
    ]
)
_cleanup = st.builds(
    lambda settings, policies: (
        settings
        | {
            "policies": [
                {"name": f"{number}{name}x"} | policy for number, (name, policy) in enumerate(policies)
            ]
        }
    ),
    _partial(state=_state, max_concurrent_clusters=st.integers(1, 100_000)),
    st.lists(st.tuples(_text, _policy), min_size=1, max_size=3),
)


@st.composite
def _configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a configuration as it is meant: nothing in it stands for an environment variable."""
    profiles = draw(st.dictionaries(_text.map(lambda text: f"p{text}p"), _layers, max_size=3))
    clusters = []
    count = draw(st.integers(1, 3))
    for number in range(count):
        cluster: dict[str, Any] = {"address": f"https://10.0.0.{number}:443"} | draw(_layers)
        profile = draw(st.sampled_from([None, *sorted(profiles)]))
        cluster |= {} if profile is None else {"profile": profile}
        name = draw(st.none() | _text)
        cluster |= {} if name is None else {"name": f"{number}{name}x"}
        clusters.append(cluster)
    cleanup = draw(st.none() | _cleanup)
    return ({} if cleanup is None else {"cleanup": cleanup}) | {
        "defaults": draw(st.one_of(_complete, _layers)),
        "profiles": profiles,
        "clusters": clusters,
        "max_concurrent_polls": draw(st.integers(1, 100)),
    }


def _merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge as the documentation says, one key after the other."""
    result: dict[str, Any] = {}
    for layer in layers:
        for one, other in (("basic_auth", "authorization"), ("authorization", "basic_auth")):
            if one in layer:
                result.pop(other, None)
        for key, value in layer.items():
            result[key] = result.get(key, {}) | value if isinstance(value, dict) else value
    return result


def _layers_of(configuration: dict[str, Any], cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [configuration["defaults"], configuration["profiles"].get(cluster.get("profile"), {}), cluster]


def _has_whole_logins(configuration: dict[str, Any]) -> bool:
    for cluster in configuration["clusters"]:
        merged = _merged(_layers_of(configuration, cluster))
        basic, token = merged.get("basic_auth"), merged.get("authorization")
        if basic is not None and not {"username", "password"} <= basic.keys():
            return False
        if token is not None and "credentials" not in token:
            return False
    return True


_good = _configurations().filter(_has_whole_logins)


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return escape(value)
        case list():
            return [_escaped(item) for item in value]
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case _:
            return value


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties") / "config.yaml"


def _load(path: Path, configuration: dict[str, Any]) -> Config:
    path.write_text(yaml.safe_dump(_escaped(configuration), allow_unicode=True), encoding="utf-8")
    return load_config(path, environ={})


def _as_written(cluster: ClusterSettings) -> dict[str, Any]:
    """Write what a cluster came to in the words of the configuration."""
    login: dict[str, Any] = {}
    match cluster.login:
        case BasicLogin(username=username, password=password):
            login = {"basic_auth": {"username": username, "password": password.value}}
        case TokenLogin(type=kind, credentials=credentials):
            login = {"authorization": {"type": kind, "credentials": credentials.value}}
        case OAuth2Login() | None:
            pass
    return login | {
        "poll_interval": format_duration(cluster.poll_interval),
        "return_timeout": cluster.return_timeout_seconds,
        "max_records": cluster.max_records,
        "labels": dict(cluster.labels),
        "server_name": cluster.tls.server_name,
        "insecure_skip_verify": cluster.tls.insecure_skip_verify,
        "min_version": cluster.tls.min_version.value,
    }


@_on_disk
@given(configuration=_good)
def test_cluster_is_defaults_then_profile_then_entry(path: Path, configuration: dict[str, Any]) -> None:
    built_in = {"poll_interval": "5m", "poll_timeout": "125s", "return_timeout": 15, "max_records": 500}
    configuration["defaults"] = built_in | configuration["defaults"]
    config = _load(path, configuration)
    for written, cluster in zip(configuration["clusters"], config.clusters, strict=True):
        merged = _merged(_layers_of(configuration, written))
        tls = {"server_name": None, "insecure_skip_verify": False, "min_version": "TLS12"}
        tls |= merged.get("tls_config", {})
        expected = {key: merged[key] for key in ("poll_interval", "return_timeout", "max_records")} | tls
        expected["labels"] = merged.get("labels", {})
        if "basic_auth" in merged:
            expected["basic_auth"] = merged["basic_auth"]
        if "authorization" in merged:
            expected["authorization"] = {"type": "Bearer"} | merged["authorization"]
        assert _as_written(cluster) == expected


def _put_back(shown: Any, original: Any) -> Any:
    if isinstance(shown, str) and "<secret>" in shown:
        return original
    match shown:
        case dict():
            return {
                key: _put_back(value, original.get(key) if isinstance(original, dict) else None)
                for key, value in shown.items()
            }
        case list() if isinstance(original, list):
            return [_put_back(*pair) for pair in zip(shown, original, strict=True)]
        case _:
            return shown


@_on_disk
@given(configuration=_good)
def test_shown_configuration_with_its_secrets_put_back_is_the_same(
    path: Path, configuration: dict[str, Any]
) -> None:
    configuration["defaults"].setdefault("poll_timeout", "125s")
    config = _load(path, configuration)
    shown = yaml.safe_load(masked_yaml(config))
    restored = _put_back(shown, _escaped(deepcopy(configuration)))
    path.write_text(yaml.safe_dump(restored, allow_unicode=True), encoding="utf-8")
    again = load_config(path, environ={})
    assert again == config
    assert yaml.safe_load(masked_yaml(again)) == shown


@_on_disk
@given(configuration=_good)
def test_secrets_are_shown_nowhere(path: Path, configuration: dict[str, Any]) -> None:
    configuration["defaults"].setdefault("poll_timeout", "125s")
    config = _load(path, configuration)
    for shown in (repr(config), str(config), repr(config.sources), masked_yaml(config)):
        assert _SECRET not in shown


@_on_disk
@given(configuration=_good)
def test_secrets_out_of_the_environment_are_shown_nowhere(path: Path, configuration: dict[str, Any]) -> None:
    configuration["defaults"].setdefault("poll_timeout", "125s")
    text = yaml.safe_dump(_escaped(configuration), allow_unicode=True, width=10_000)
    text = re.sub(r"(password|credentials): .*", r"\1: ${PW}", text).replace(_SECRET, "${PW}")
    path.write_text(text, encoding="utf-8")
    config = load_config(path, environ={"PW": _SECRET})
    assert config == load_config(path, environ={"PW": _SECRET})
    for shown in (repr(config), str(config), repr(config.sources), masked_yaml(config)):
        assert _SECRET not in shown
