"""In the example for Alertmanager, an alert silences those of the same job and cluster, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from support.alertmanager import alertmanager, needs_alertmanager
from support.rules import quickened_alertmanager
from support.waiting import eventually

pytestmark = needs_alertmanager

HERE, ELSEWHERE = "ontap-packages", "eu/ontap-packages"
NOBODY = "http://127.0.0.1:9"
WAIT_SECONDS = 30.0
Labels = dict[str, str]


def alert(name: str, job: str = "", cluster: str = "", policy: str = "") -> Labels:
    labels = {"alertname": f"Ontap{name}", "job": job, "cluster": cluster, "policy": policy}
    return {label: value for label, value in labels.items() if value}


@pytest.mark.parametrize(
    ("silencing", "silenced", "heard"),
    [
        pytest.param(
            [alert("AllExportersDown", HERE)],
            [alert("ClusterDown", HERE, "c1"), alert("CleanupHalted", HERE)],
            [alert("ClusterDown", ELSEWHERE, "c1"), alert("CleanupHalted", ELSEWHERE)],
            id="the exporters of another job are alive",
        ),
        pytest.param(
            [alert("AllExportersDown")],
            [alert("ClusterDown", HERE, "c1"), alert("UnusedPackageOld", "", "c1")],
            [],
            id="there is no exporter at all",
        ),
        pytest.param(
            [alert("PasswordRefused", HERE, "c1")],
            [
                alert("ClusterDown", HERE, "c1"),
                alert("ListingStale", HERE, "c1"),
                alert("CleanupFailing", HERE, "c1", "p"),
                alert("PackageUseUnknown", "", "c1"),
            ],
            [
                alert("ListingStale", ELSEWHERE, "c1"),
                alert("CleanupFailing", ELSEWHERE, "c1", "p"),
                alert("PackageUseUnknown", "", "c2"),
            ],
            id="another job has a cluster with the same name",
        ),
        pytest.param(
            [alert("ListingIncomplete", HERE, "c1")],
            [alert("ClusterDown", HERE, "c1")],
            [alert("ClusterDown", ELSEWHERE, "c1")],
            id="a known reason is that of the cluster of its job",
        ),
        pytest.param(
            [alert("CleanupDenied", HERE, "c1", "p")],
            [alert("CleanupFailing", HERE, "c1", "p")],
            [alert("CleanupFailing", HERE, "c1", "q"), alert("CleanupFailing", ELSEWHERE, "c1", "p")],
            id="a denied run",
        ),
        pytest.param(
            [alert("CleanupJobStuck", HERE, "c1", "p")],
            [alert("CleanupOverdue", HERE, "c1", "q")],
            [alert("CleanupOverdue", ELSEWHERE, "c1", "q")],
            id="a stuck deletion",
        ),
        pytest.param(
            [alert("SeveralClustersDown", HERE)],
            [alert("ClusterDown", HERE, "c1")],
            [alert("ClusterDown", ELSEWHERE, "c1"), alert("ClusterFlapping", HERE, "c2")],
            id="several clusters down",
        ),
        pytest.param(
            [alert("ManyClustersDown", HERE)],
            [alert("SeveralClustersDown", HERE), alert("ClusterDown", HERE, "c1")],
            [alert("SeveralClustersDown", ELSEWHERE)],
            id="many clusters down",
        ),
    ],
)
async def test_an_alert_silences_what_has_the_same_cause(
    silencing: Sequence[Labels], silenced: Sequence[Labels], heard: Sequence[Labels], tmp_path: Path
) -> None:
    async with alertmanager(tmp_path, quickened_alertmanager(NOBODY)) as manager:
        await manager.fire(*silencing, *silenced, *heard)

        async def as_expected() -> bool:
            known = await manager.alerts()
            inhibited = [one["labels"] for one in known if one["status"]["inhibitedBy"]]
            rest = [one["labels"] for one in known if not one["status"]["inhibitedBy"]]
            return (
                all(one in inhibited for one in silenced)
                and all(one in rest for one in (*silencing, *heard))
                and len(known) == len(silencing) + len(silenced) + len(heard)
            )

        await eventually(as_expected, seconds=WAIT_SECONDS, what=f"{silenced} to be all that is inhibited")
