"""``config.example.yaml`` loads, mentions every key, and states the defaults that hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import load_config, masked_yaml
from exporter.config.schema import NESTED, ClusterEntry, Root, Settings, Shape

_EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
_SHAPES: list[type[Shape]] = [Root, ClusterEntry, *NESTED.values()]
_KEYS = sorted({key for shape in _SHAPES for key in shape.model_fields})
_KEY = re.compile(r"(?:# *)?(?:- )?([a-z_]+):(?: (.*))?")
_DEFAULT = re.compile(r"Default: (.*)")


def _lines() -> list[str]:
    return _EXAMPLE.read_text(encoding="utf-8").splitlines()


def _stated() -> dict[str, str]:
    """Return the default that the comment above each key states."""
    stated = {}
    default = None
    for line in _lines():
        text = line.strip()
        key = _KEY.fullmatch(text)
        if found := _DEFAULT.search(text):
            default = found[1]
        elif key is not None:
            if default is not None:
                stated[key[1]] = default
            default = None
    return stated


def _actual(tmp_path: Path) -> dict[str, str]:
    """Return every default that is a value, out of a file that says nothing about it."""
    path = tmp_path / "config.yaml"
    path.write_text("defaults: {authorization: {credentials: made-up}}\nclusters: [{address: a}]\n")
    shown = yaml.safe_load(masked_yaml(load_config(path, environ={})))

    def leaves(mapping: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for key, value in mapping.items():
            if isinstance(value, dict):
                yield from leaves(value)
            elif value != "<secret>":
                yield key, str(value).lower() if isinstance(value, bool) else str(value)

    return dict(leaves(shown["defaults"])) | {"max_concurrent_polls": str(shown["max_concurrent_polls"])}


def test_example_loads_as_it_stands_without_a_warning() -> None:
    config = load_config(_EXAMPLE, environ={"ONTAP_PASSWORD": "made-up"})
    assert [cluster.name for cluster in config.clusters] == ["ams-prod-01", "lon-dr-01", "ams-lab-01"]
    assert config.warnings == ()


def test_example_with_every_line_in_force_has_the_right_shape() -> None:
    commented = re.compile(rf"^( *)# ((?:  )?(?:{'|'.join(_KEYS)}):)", re.MULTILINE)
    defaults = yaml.safe_load(commented.sub(r"\1\2", _EXAMPLE.read_text(encoding="utf-8")))["defaults"]
    assert Settings.model_validate(defaults).model_fields_set == Settings.model_fields.keys()
    for key, shape in NESTED.items():
        assert defaults[key].keys() == shape.model_fields.keys()


@pytest.mark.parametrize("key", _KEYS)
def test_example_mentions_every_key(key: str) -> None:
    assert any((match := _KEY.fullmatch(line.strip())) and match[1] == key for line in _lines())


def test_defaults_stated_in_the_example_are_the_real_ones(tmp_path: Path) -> None:
    actual = _actual(tmp_path)
    stated = _stated()
    assert {key: stated[key] for key in actual} == actual


def test_defaults_of_the_example_change_nothing(tmp_path: Path) -> None:
    text = _EXAMPLE.read_text(encoding="utf-8")
    defaults = yaml.safe_load(text)["defaults"]
    defaults |= defaults.pop("tls_config")
    actual = _actual(tmp_path)
    written = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in defaults.items()
    }
    assert {key: value for key, value in written.items() if key in actual} == {
        key: value for key, value in actual.items() if key in written
    }
