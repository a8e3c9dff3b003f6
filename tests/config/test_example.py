"""``config.example.yaml`` loads, mentions every key, and states the defaults that hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import Config, load_config, masked_yaml
from exporter.config.schema import (
    Authorization,
    BasicAuth,
    CleanupConfig,
    ClusterEntry,
    ClusterSelector,
    HttpHeader,
    OAuth2,
    PolicyConfig,
    Root,
    Settings,
    StrictModel,
    TlsConfig,
)

_EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
_ENVIRON = {"ONTAP_PASSWORD": "made-up"}
NESTED: dict[str, type[StrictModel]] = {
    "basic_auth": BasicAuth,
    "authorization": Authorization,
    "oauth2": OAuth2,
    "tls_config": TlsConfig,
}
_SHAPES: list[type[StrictModel]] = [Root, ClusterEntry, *NESTED.values()]
_CLEANUP_SHAPES: list[type[StrictModel]] = [CleanupConfig, PolicyConfig, ClusterSelector]
_KEY = re.compile(r"(?:# *)?(?:- )?([a-z0-9_]+):(?: (.*))?")
_DEFAULT = re.compile(r"Default: (.*)")


def _text() -> str:
    return _EXAMPLE.read_text(encoding="utf-8")


def _parts() -> tuple[str, str]:
    """Return what stands above ``cleanup``, and ``cleanup`` itself as it reads once it is applied."""
    above, key, below = _text().partition("# cleanup:\n")
    return above, key[2:] + "".join(line[2:] for line in below.splitlines(keepends=True))


def _keys(shapes: list[type[StrictModel]]) -> list[str]:
    return sorted({key for shape in shapes for key in shape.model_fields})


def _mentions(text: str, key: str) -> bool:
    return any((match := _KEY.fullmatch(line.strip())) and match[1] == key for line in text.splitlines())


def _stated(part: str) -> dict[str, str]:
    """Return the default that the comment above each key states."""
    stated = {}
    default = None
    for line in part.splitlines():
        text = line.strip()
        key = _KEY.fullmatch(text)
        if found := _DEFAULT.search(text):
            default = found[1]
        elif key is not None:
            if default is not None:
                stated[key[1]] = default
            default = None
    return stated


def _spelt(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value)


def _leaves(mapping: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        elif value != "<secret>":
            yield key, _spelt(value)


def _shown(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "config.yaml"
    path.write_text(text)
    shown: dict[str, Any] = yaml.safe_load(masked_yaml(load_config(path, environ={})))
    return shown


def _actual(tmp_path: Path) -> dict[str, str]:
    """Return every default that is a value, out of a file that says nothing about it."""
    shown = _shown(tmp_path, "defaults: {authorization: {credentials: made-up}}\nclusters: [{address: a}]\n")
    return dict(_leaves(shown["defaults"])) | {"max_concurrent_polls": str(shown["max_concurrent_polls"])}


def _actual_of_cleanup(tmp_path: Path) -> dict[str, str]:
    """Return every default of ``cleanup`` that is a value, likewise."""
    policy = '{name: a, schedule: "* * * * *", keep_newest: 1}'
    shown = _shown(tmp_path, f"clusters: [{{address: a}}]\ncleanup: {{policies: [{policy}]}}\n")["cleanup"]
    (policies,) = shown.pop("policies")
    leaves = dict(_leaves(shown)) | dict(_leaves(policies))
    leaves["state"] = leaves["state"].replace(f"{tmp_path}/", "")
    return {key: value for key, value in leaves.items() if key not in {"name", "schedule", "keep_newest"}}


def _with_cleanup(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text("".join(_parts()), encoding="utf-8")
    return load_config(path, environ=_ENVIRON)


def test_example_loads_as_it_stands_without_a_warning() -> None:
    config = load_config(_EXAMPLE, environ=_ENVIRON)
    assert [cluster.name for cluster in config.clusters] == ["ams-prod-01", "lon-dr-01", "ams-lab-01"]
    assert config.warnings == ()


def test_example_as_it_stands_deletes_nothing() -> None:
    assert load_config(_EXAMPLE, environ=_ENVIRON).cleanup is None


def test_example_with_cleanup_uncommented_loads_without_a_warning(tmp_path: Path) -> None:
    config = _with_cleanup(tmp_path)
    assert config.warnings == ()
    assert config.cleanup is not None
    (policy,) = config.cleanup.policies
    assert [policy.clusters.has(cluster) for cluster in config.clusters] == [True, False, False]


def test_example_with_cleanup_uncommented_only_plans(tmp_path: Path) -> None:
    cleanup = _with_cleanup(tmp_path).cleanup
    assert cleanup is not None
    assert all(policy.dry_run for policy in cleanup.policies)


def test_example_warns_above_the_cleanup_section() -> None:
    warning = _text().partition("# cleanup:\n")[0].splitlines()[-5:]
    assert any("WARNING: a policy with dry_run: false deletes packages" in line for line in warning)


def test_example_with_every_line_uncommented_has_the_right_shape() -> None:
    commented = re.compile(rf"^( *)# ((?:  )?(?:{'|'.join(_keys(_SHAPES))}):)", re.MULTILINE)
    defaults = yaml.safe_load(commented.sub(r"\1\2", _parts()[0]))["defaults"]
    assert Settings.model_validate(defaults).model_fields_set == Settings.model_fields.keys()
    for key, shape in NESTED.items():
        assert defaults[key].keys() == shape.model_fields.keys()
    assert defaults["http_headers"]["X-Team"].keys() == HttpHeader.model_fields.keys()


def test_example_with_cleanup_uncommented_has_every_key_in_its_place() -> None:
    cleanup = yaml.safe_load(re.sub("# (every|approved_plan):", r"\1:", _parts()[1]))["cleanup"]
    (policy,) = cleanup["policies"]
    assert cleanup.keys() == CleanupConfig.model_fields.keys()
    assert policy.keys() == PolicyConfig.model_fields.keys()
    assert policy["clusters"].keys() == ClusterSelector.model_fields.keys()


@pytest.mark.parametrize("key", _keys(_SHAPES))
def test_example_mentions_every_key(key: str) -> None:
    assert _mentions(_text(), key)


@pytest.mark.parametrize("key", _keys(_CLEANUP_SHAPES))
def test_example_mentions_every_key_of_cleanup(key: str) -> None:
    assert _mentions(_parts()[1], key)


def test_defaults_stated_in_the_example_are_the_real_ones(tmp_path: Path) -> None:
    actual = _actual(tmp_path)
    stated = _stated(_parts()[0])
    assert {key: stated[key] for key in actual} == actual


def test_defaults_of_cleanup_stated_in_the_example_are_the_real_ones(tmp_path: Path) -> None:
    actual = _actual_of_cleanup(tmp_path)
    stated = _stated(_parts()[1])
    assert len(actual) == 15
    assert {key: stated[key] for key in actual} == actual


def test_defaults_of_the_example_change_nothing(tmp_path: Path) -> None:
    defaults = yaml.safe_load(_text())["defaults"]
    defaults |= defaults.pop("tls_config")
    actual = _actual(tmp_path)
    written = {key: _spelt(value) for key, value in defaults.items()}
    assert {key: value for key, value in written.items() if key in actual} == {
        key: value for key, value in actual.items() if key in written
    }
