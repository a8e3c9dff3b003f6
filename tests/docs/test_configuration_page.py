"""``docs/configuration.md`` explains every key of the schema, and states the defaults that hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import load_config, masked_yaml
from exporter.config.schema import (
    Authorization,
    BasicAuth,
    ClusterEntry,
    OAuth2,
    ProxyKeys,
    Root,
    Settings,
    StrictModel,
    TlsConfig,
)
from support.markdown import ROOT, code, rows

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = rows(PAGE, "key")
NESTED: dict[str, type[StrictModel]] = {
    "basic_auth": BasicAuth,
    "authorization": Authorization,
    "oauth2": OAuth2,
    "tls_config": TlsConfig,
}


def keys_of_the_schema() -> set[str]:
    nested = {
        f"{key}.{inner}"
        for key, shape in NESTED.items()
        for inner in shape.model_fields.keys() - (ProxyKeys.model_fields.keys() if shape is OAuth2 else set())
    }
    return {*Root.model_fields, *Settings.model_fields, *ClusterEntry.model_fields, *nested}


def actual_defaults(folder: Path) -> dict[str, str]:
    """Return every default that is a value, out of a file that says nothing about it."""
    path = folder / "config.yaml"
    path.write_text("defaults: {authorization: {credentials: made-up}}\nclusters: [{address: a}]\n")
    shown = yaml.safe_load(masked_yaml(load_config(path, environ={})))

    def leaves(mapping: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
        for key, value in mapping.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{key}.")
            elif value != "<secret>":
                yield prefix + key, str(value).lower() if isinstance(value, bool) else str(value)

    return dict(leaves(shown["defaults"])) | {"max_concurrent_polls": str(shown["max_concurrent_polls"])}


def test_the_page_explains_every_key_once_and_no_other() -> None:
    explained = [code(row["key"]) for row in ROWS]
    assert sorted(explained) == sorted(keys_of_the_schema())


def test_the_defaults_on_the_page_are_the_real_ones(tmp_path: Path) -> None:
    stated = {code(row["key"]): code(row["default"]) for row in ROWS if row["default"].startswith("`")}
    assert stated == actual_defaults(tmp_path)


def test_every_row_is_complete() -> None:
    assert all(cell for row in ROWS for cell in row.values())


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_examples_are_yaml(block: str) -> None:
    assert isinstance(yaml.safe_load(block), dict | list)
