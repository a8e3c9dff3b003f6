"""Ready-made fleets of simulated clusters: one of any size, and one with a cluster of every kind."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.cluster_facts import Node, Package, UpdateState
from exporter.simulator.state.simulated_cluster import DEFAULT_VERSION, SimulatedCluster

RELEASES = {
    "9.8": "2020-12-10",
    "9.9.1": "2021-06-02",
    "9.10.1": "2022-01-13",
    "9.11.1": "2022-07-14",
    "9.12.1": "2023-02-02",
    "9.13.1": "2023-06-22",
    "9.14.1": "2024-01-18",
    "9.15.1": "2024-07-11",
    "9.16.1": "2025-01-16",
    "9.17.1": "2025-09-11",
}
"""ONTAP releases, each with the day of its general availability."""
PATCHES_OF_A_RELEASE = 20
PATCH_EVERY = timedelta(days=42)
CANDIDATE_BEFORE = timedelta(days=35)

DEMO_JOB_SECONDS = 8.0

UNREACHABLE = "syd-dr-01"
"""The cluster of the demo fleet that does not listen."""
REFUSING = "sin-dev-01"
"""The cluster of the demo fleet that refuses its password."""
SLOW = "syd-prod-01"
"""The cluster of the demo fleet that takes seconds for every answer."""
UPDATING = "fra-prod-01"
"""The cluster of the demo fleet that is in the middle of an update."""
MIXED = "nyc-prod-02"
"""The cluster of the demo fleet whose nodes run two versions."""
EMPTY = "sin-edge-01"
"""The cluster of the demo fleet whose repository is empty."""

_ZONES = {
    site: timezone(timedelta(hours=hours))
    for site, hours in {"ams": 1, "fra": 1, "nyc": -5, "sin": 8, "syd": 10}.items()
}
_DEMO = """
ams-prod-01  prod  9.14.1P2   9.11.1P17:1130 9.13.1P10:655 9.14.1P2:410 9.15.1:290
ams-prod-02  prod  9.14.1P2   9.12.1P8:980 9.13.1P10:655 9.14.1P2:410
ams-dev-01   dev   9.16.1P3   9.15.1P3:120 9.16.1RC1:75 9.16.1P3:9 9.17.1RC1:2
fra-prod-01  prod  9.14.1P9   9.13.1P10:610 9.14.1P9:200 9.16.1P3:12
fra-prod-02  prod  9.14.1P2   9.11.1P8:1290 9.12.1P2:1010 9.13.1:870 9.14.1P2:400
fra-dr-01    dr    9.11.1P17  9.9.1P7:1710 9.10.1P12:1420 9.11.1P17:1100
nyc-prod-01  prod  9.15.1P1   9.13.1P8:700 9.14.1P6:330 9.15.1P1:160 9.16.1:58
nyc-prod-02  prod  9.14.1P2   9.13.1P10:630 9.14.1P2:395 9.14.1P6:21
sin-edge-01  edge  9.15.1P5
sin-dev-01   dev   9.16.1P1   9.16.1P1:40 9.17.1:5
syd-prod-01  prod  9.13.1P10  9.8P18:1650 9.11.1P17:1090 9.13.1P10:640
syd-dr-01    dr    9.12.1P8   9.12.1P8:900
"""
"""Name, tier, running version, and the packages, each with its age in days."""


def released_versions(now: datetime) -> tuple[tuple[str, datetime], ...]:
    """Every release, candidate and patch that is out by now, with a plausible day, oldest first."""
    versions: list[tuple[str, datetime]] = []
    for name, day in RELEASES.items():
        released = datetime.fromisoformat(day).replace(tzinfo=UTC)
        versions += [(f"{name}RC1", released - CANDIDATE_BEFORE), (name, released)]
        versions += [
            (f"{name}P{patch}", released + patch * PATCH_EVERY)
            for patch in range(1, PATCHES_OF_A_RELEASE + 1)
        ]
    return tuple(sorted((one for one in versions if one[1] <= now), key=lambda one: (one[1], one[0])))


def generated_fleet(clusters: int, packages: int, seed: int, now: datetime) -> tuple[SimulatedCluster, ...]:
    """Make clusters with the same number of packages each; always the same for a seed and a moment.

    No package is newer than `now`. If there are fewer releases than packages, patches are made up.
    """
    randomness = random.Random(seed)  # noqa: S311 - a fleet that is always the same
    released = released_versions(now)
    oldest = released[0][1] if released else now
    missing = max(0, packages - len(released))
    made_up = tuple(
        (f"9.7P{patch}", oldest - timedelta(days=1, hours=missing - patch)) for patch in range(1, missing + 1)
    )
    choice = made_up + released
    fleet = []
    for number in range(clusters):
        site = tuple(_ZONES)[number % len(_ZONES)]
        held = []
        for index in sorted(randomness.sample(range(len(choice)), packages)):
            version, released_at = choice[index]
            downloaded = min(released_at + timedelta(minutes=randomness.randrange(60 * 24 * 30)), now)
            held.append(Package(version, downloaded.astimezone(_ZONES[site])))
        fleet.append(
            SimulatedCluster(
                f"{site}-sim-{number + 1:04d}",
                packages=held,
                version=str(held[-1].version) if held else DEFAULT_VERSION,
                labels={"site": site},
            )
        )
    return tuple(fleet)


def demo_fleet(now: datetime) -> tuple[SimulatedCluster, ...]:
    """A dozen clusters of five sites, among them one of each special kind.

    They have the labels `site` and `tier`. The constants of this module name the special ones.
    """
    fleet = {}
    for line in _DEMO.strip().splitlines():
        name, tier, version, *held = line.split()
        fleet[name] = _demo_cluster(name, tier, version, held, now)
    updating = fleet[UPDATING]
    updating.update_state = UpdateState.IN_PROGRESS
    updating.pending_version = "9.16.1P3"
    updating.nodes = (Node(f"{UPDATING}-01", "9.16.1P3"), Node(f"{UPDATING}-02", "9.14.1P9"))
    fleet[MIXED].nodes = (Node(f"{MIXED}-01", "9.14.1P2"), Node(f"{MIXED}-02", "9.14.1P6"))
    fleet[SLOW].faults.add(Fault(FaultKind.LATENCY, seconds=2.5))
    fleet[REFUSING].faults.add(Fault(FaultKind.UNAUTHORIZED))
    fleet[UNREACHABLE].reachable = False
    return tuple(fleet.values())


def _demo_cluster(name: str, tier: str, version: str, held: Iterable[str], now: datetime) -> SimulatedCluster:
    site = name.partition("-")[0]
    packages = []
    for package in held:
        package_version, _, days = package.partition(":")
        age = timedelta(days=int(days), minutes=7 * int(days) % 600)
        packages.append(Package(package_version, (now - age).astimezone(_ZONES[site])))
    return SimulatedCluster(
        name,
        packages=packages,
        version=version,
        labels={"site": site, "tier": tier},
        job_seconds=DEMO_JOB_SECONDS,
    )
