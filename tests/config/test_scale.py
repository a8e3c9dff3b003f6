from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import ConfigFiles, load_config


def _clusters() -> str:
    clusters = "".join(
        f"  - name: cluster-{number:05}\n    address: 10.{number >> 8}.{number & 255}.1\n    profile: dr\n"
        f"    labels: {{rack: r{number % 40}}}\n    poll_interval: 10m\n"
        for number in range(10_000)
    )
    return (
        "defaults:\n  basic_auth: {username: monitor, password: made-up}\n"
        f"profiles:\n  dr: {{labels: {{site: dr}}}}\nclusters:\n{clusters}"
    )


@pytest.mark.timeout(30)
def test_ten_thousand_clusters_and_policies_of_a_thousand_names_each_load(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    names = ", ".join(f"none-{number:03}-*" for number in range(1000))
    policies = "".join(
        f"    - {{name: policy-{number}, clusters: {{names: [{names}, cluster-{number}*]}},"
        " schedule: 0 3 * * sat, timezone: Europe/Amsterdam, keep_newest: 2}\n"
        for number in range(3)
    )
    path.write_text(f"{_clusters()}cleanup:\n  policies:\n{policies}")
    path.chmod(0o600)
    config = load_config(path, environ={})
    assert config.cleanup is not None
    chosen = [sum(map(policy.clusters.has, config.clusters)) for policy in config.cleanup.policies]
    assert chosen == [10_000, 0, 0]
    assert [warning.key for warning in config.warnings] == [
        "cleanup.policies[1].clusters",
        "cleanup.policies[2].clusters",
    ]


@pytest.mark.timeout(60)
def test_change_of_one_file_of_a_hundred_parses_no_other(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("cluster_files: ['*.json']\n")
    for number in range(100):
        (tmp_path / f"{number:02}.json").write_text(f'[{{"address": "a{number}"}}]')
    files = ConfigFiles(tmp_path / "config.yaml", environ={})
    before = files.load().sources.files
    (tmp_path / "42.json").write_text('[{"address": "changed"}]')
    files.scan()
    config = files.scan()
    assert config is not None
    pairs = zip(before.values(), config.sources.files.values(), strict=True)
    assert [number for number, (old, new) in enumerate(pairs) if old is not new] == [42]
