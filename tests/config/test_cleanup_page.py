"""``docs/configuration.md`` explains every key of ``cleanup``, and states the defaults that hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import Config, masked_yaml
from exporter.config.schema import CleanupConfig, ClusterSelector, PolicyConfig
from support.markdown import ROOT, code, rows

Load = Callable[..., Config]

_PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
_CLEANUP = rows(_PAGE, "key of cleanup")
_POLICY = rows(_PAGE, "key of a policy")
_CLUSTERS = "clusters: [{address: ams-prod-01, labels: {site: ams}}]\n"


def _shown(load: Load) -> dict[str, Any]:
    text = 'cleanup: {policies: [{name: a, schedule: "* * * * *", keep_newest: 1}]}'
    shown: dict[str, Any] = yaml.safe_load(masked_yaml(load(_CLUSTERS + text)))["cleanup"]
    return shown


def _spelt(values: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def test_the_page_explains_every_key_of_cleanup_once_and_no_other() -> None:
    assert [code(row["key of cleanup"]) for row in _CLEANUP] == [*CleanupConfig.model_fields]


def test_the_page_explains_every_key_of_a_policy_once_and_no_other() -> None:
    nested = {f"clusters.{key}" for key in ClusterSelector.model_fields}
    assert sorted(code(row["key of a policy"]) for row in _POLICY) == sorted(
        {*PolicyConfig.model_fields, *nested}
    )


def test_every_row_is_complete() -> None:
    assert all(cell for row in (*_CLEANUP, *_POLICY) for cell in row.values())


@pytest.mark.parametrize("table", [_CLEANUP, _POLICY], ids=["cleanup", "policy"])
def test_every_stated_default_is_the_real_one(
    load: Load, tmp_path: Path, table: list[dict[str, str]]
) -> None:
    shown = _shown(load)
    shown["state"] = shown["state"].replace(f"{tmp_path}/", "")
    (policy,) = shown.pop("policies")
    given = {"name", "schedule", "keep_newest"}
    real = _spelt(shown if table is _CLEANUP else {key: policy[key] for key in policy.keys() - given})
    name = "key of cleanup" if table is _CLEANUP else "key of a policy"
    stated = {code(row[name]): code(row["default"]) for row in table if row["default"].startswith("`")}
    assert stated == real


def test_the_example_of_the_page_loads_and_deletes_nothing(load: Load, tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(cleanup:.*?)```", _PAGE, re.DOTALL)
    config = load(_CLUSTERS + block.replace("/var/lib/ontap-packages-exporter", str(tmp_path)))
    assert config.cleanup is not None
    assert [policy.dry_run for policy in config.cleanup.policies] == [True]
    assert [policy.clusters.has(config.clusters[0]) for policy in config.cleanup.policies] == [True]
    assert not [warning for warning in config.warnings if warning.key.startswith("cleanup")]
