from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.config import load_config


@pytest.mark.timeout(30)
def test_ten_thousand_clusters_load(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    clusters = "".join(
        f"  - name: cluster-{number:05}\n    address: 10.{number >> 8}.{number & 255}.1\n    profile: dr\n"
        f"    labels: {{rack: r{number % 40}}}\n    poll_interval: 10m\n"
        for number in range(10_000)
    )
    path.write_text(
        "defaults:\n  basic_auth: {username: monitor, password: made-up}\n"
        f"profiles:\n  dr: {{labels: {{site: dr}}}}\nclusters:\n{clusters}"
    )
    assert len(load_config(path, environ={}).clusters) == 10_000


def test_pydantic_is_imported_only_where_a_configuration_is_loaded() -> None:
    code = "import exporter.config, sys; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
