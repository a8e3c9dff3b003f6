"""Rules about the packages in the repositories.

Package metrics go away while a cluster cannot be read, but an old package is still old. So the alerts go on
with the last value of the last day for a cluster that is still polled. They end as soon as a listing says
otherwise, or the cluster is not polled any more.
"""

from __future__ import annotations

from ontap_mixin.cluster_rules import UP
from ontap_mixin.rules import Alert, Group, Promql, Record, text

PACKAGES = "cluster:ontap_software_packages:max"
UNUSED = "cluster:ontap_software_package_unused:count"
OLD = "cluster:ontap_software_package_unused_old:count"
OLDEST = "cluster:ontap_software_package_unused_age_seconds:max"
AGELESS = "cluster:ontap_software_package_unused_ageless:count"
UPDATES = "fleet:ontap_software_update_in_progress:sum"


def groups(p: Promql) -> tuple[Group, ...]:
    """Return the rules; nothing here is urgent, and there may be hundreds of thousands of packages.

    Dashboards find what was recorded within 5 minutes, so the interval must be shorter.
    """
    return (
        Group(name="ontap-packages.rules", rules=_records(p), interval="4m"),
        Group(name="ontap-packages.alerts", rules=_alerts(p), interval="4m"),
    )


def _records(p: Promql) -> tuple[Record, ...]:
    in_use = p.series("ontap_software_package_in_use")
    package = f"{p.cluster}, version"
    created = p.series("ontap_software_package_create_timestamp_seconds")
    packages = p.series("ontap_software_packages")
    # 0 if the use of all packages is known. No record of this group: to vmalert, it is older than the rest.
    none = (
        f"0 * max by ({p.of_repository()}) "
        f"({packages} <= on ({p.polled}) group_left () count by ({p.polled}) ({in_use})) "
        f"or max by ({p.of_repository()}) ({packages}) == 0"
    )
    old_since = f"time() - {p.settings.thresholds.unused_package_age_days:g} * 86400"
    return (
        Record(name=PACKAGES, expr=f"max by ({p.of_repository()}) ({packages})"),
        Record(
            name=UNUSED,
            why="Unused is only what is known to be unused. It is 0 only where the use of every package is "
            "known; otherwise the series is absent.",
            expr=text(f"""
                count by ({p.of_repository()}) (max by ({p.of_repository("version")}) ({in_use}) == 0)
                or {none}
            """),
        ),
        Record(
            name=OLD,
            expr=text(f"""
                count by ({p.of_repository()}) (
                  max by ({p.of_repository("version")}) ({in_use}) == 0
                  and on ({package}) {created} < {old_since}
                )
                or {none}
            """),
        ),
        Record(
            name=OLDEST,
            expr=text(f"""
                max by ({p.of_repository()}) (
                  {p.series("ontap_software_package_age_seconds")}
                  and on ({package}) max by ({package}) ({in_use}) == 0
                )
            """),
        ),
        Record(
            name=AGELESS,
            expr=text(f"""
                count by ({p.of_repository()}) (
                  max by ({p.of_repository("version")}) ({in_use}) == 0
                  unless on ({package}) {created}
                )
            """),
        ),
        Record(
            name=UPDATES,
            expr=text(f"""
                sum by ({p.fleet}) (
                  max by ({p.cluster}) ({p.series("ontap_software_update_in_progress")})
                )
            """),
        ),
    )


def _while_unknown(p: Promql, record: str, above: float) -> str:
    """Return what is above a threshold, or was when it was last known, of clusters that are still polled."""
    return text(f"""
        {record} > {above:g}
        or (
          last_over_time({record}[1d]) > {above:g}
          and on ({p.cluster}) {UP}
          unless on ({p.cluster}) {record}
        )
    """)


def _alerts(p: Promql) -> tuple[Alert, ...]:
    thresholds = p.settings.thresholds
    days = f"{thresholds.unused_package_age_days:g}"
    return (
        Alert(
            name="OntapUnusedPackageOld",
            expr=_while_unknown(p, OLD, 0),
            summary="{{ $labels.cluster }} holds old packages that are not in use.",
            description="Packages in the repository of {{ $labels.cluster }} that are older than "
            f"{days} days and not in use: {{{{ $value | humanize }}}}. "
            "The dashboard of the cluster names them.",
        ),
        Alert(
            name="OntapTooManyPackages",
            expr=_while_unknown(p, PACKAGES, thresholds.packages),
            summary="The repository of {{ $labels.cluster }} holds too many packages.",
            description="The repository of {{ $labels.cluster }} holds {{ $value | humanize }} packages. A "
            "full repository is noticed when it blocks an upgrade.",
        ),
        Alert(
            name="OntapPackageUseUnknown",
            why="If the use is not known, no package is reported as old. This alert reports it instead.",
            expr=f"{PACKAGES} > 0 unless on ({p.cluster}) {UNUSED}",
            summary="Which packages {{ $labels.cluster }} uses cannot be read.",
            description="The exporter cannot read which of the {{ $value | humanize }} packages on {{ "
            "$labels.cluster }} are in use. So none of them is reported as old, and cleanup "
            "deletes nothing there.",
        ),
        Alert(
            name="OntapPackageAgeUnknown",
            why="A package without an age is never reported as old, and never deleted by age.",
            expr=AGELESS,
            summary="{{ $labels.cluster }} holds unused packages of unknown age.",
            description="Packages in the repository of {{ $labels.cluster }} that are not in use, and have "
            "no create_time that can be read: {{ $value | humanize }}. They are "
            "never reported as old, and no policy with older_than deletes them.",
        ),
    )
