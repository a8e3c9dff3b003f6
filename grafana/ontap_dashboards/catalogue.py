"""All dashboards, as the text of their files."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from ontap_dashboards import cleanup, cluster, exporter, fleet
from ontap_dashboards.frame import numbered
from ontap_mixin.settings import Settings

DIRECTORY = Path(__file__).parents[1] / "dashboards"
_DASHBOARDS = {
    "fleet": fleet.dashboard,
    "cluster": cluster.dashboard,
    "cleanup": cleanup.dashboard,
    "exporter": exporter.dashboard,
}


def files(settings: Settings) -> dict[str, str]:
    """Give the text of every dashboard's file, by the file's name."""
    encoder = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False)
    return {
        f"{name}.json": encoder.encode(numbered(dashboard(settings).build())) + "\n"
        for name, dashboard in _DASHBOARDS.items()
    }
