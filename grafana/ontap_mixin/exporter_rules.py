"""Rules about the exporter itself, and about how it is scraped."""

from __future__ import annotations

from ontap_mixin.cluster_rules import UP
from ontap_mixin.rules import Alert, Group, Promql, Record, text

EXPORTERS = "job:up:count"


def groups(p: Promql) -> tuple[Group, ...]:
    """Return the rules."""
    watched = Record(
        name=EXPORTERS,
        why="For dashboards, which offer the jobs whose exporters are all dead, too.",
        expr=f"count by ({p.job}) ({p.target('up')})",
    )
    return (
        Group(name="ontap-exporter.rules", rules=(watched,)),
        Group(name="ontap-exporter.alerts", rules=(*_down(p), *_refused(p), *_scraped_wrongly(p))),
        Group(
            name="ontap-exporter-slow.alerts", rules=(*_unsteady(p), *_blind(p), *_behind(p)), interval="2m"
        ),
    )


def _down(p: Promql) -> tuple[Alert, ...]:
    up, built = p.target("up"), p.series("ontap_exporter_build_info")
    return (
        Alert(
            name="OntapAllExportersDown",
            why="Without a target, there is no exporter, unless one is scraped by a job that the selector "
            "does not match.",
            expr=text(f"""
                max by ({p.job}) ({up}) == 0
                or
                absent({up}) - 1
                unless on () {built}
            """),
            summary="No exporter{{ with $labels.job }} of the job {{ . }}{{ end }} can be scraped.",
            description="{{ $value | humanize }} exporters answer, or Prometheus has no such target at all. "
            "No cluster is polled, and other alerts about clusters are not reliable.",
        ),
        Alert(
            name="OntapExporterDown",
            expr=f"max by ({p.instance}) ({up}) == 0",
            summary="The exporter {{ $labels.instance }} cannot be scraped.",
            description="Prometheus has not been able to scrape {{ $labels.instance }} for 5 minutes (up is "
            "{{ $value | humanize }}). The clusters that only this process polls are not "
            "polled.",
        ),
        Alert(
            name="OntapShardMissing",
            why="Several processes may serve the same shard, so the rule counts shards, not processes.",
            expr=text(f"""
                max by ({p.job}) ({p.series("ontap_exporter_total_shards")})
                - count by ({p.job}) (
                  count_values by ({p.job}) ("shard", {p.series("ontap_exporter_shard_ordinal")})
                )
                > 0
            """),
            summary="Shards of the job {{ $labels.job }} are missing.",
            description="Shards of the job {{ $labels.job }} that do not run: {{ $value | humanize }}. "
            "Their clusters are not polled, and no other alert reports them.",
        ),
    )


def _refused(p: Promql) -> tuple[Alert, ...]:
    accepted = p.series("ontap_exporter_config_last_reload_successful")
    return (
        Alert(
            name="OntapReloadFailed",
            expr=f"min by ({p.instance}) ({accepted}) == 0",
            summary="The exporter {{ $labels.instance }} has refused its new configuration.",
            description="{{ $labels.instance }} goes on with its earlier configuration "
            "(ontap_exporter_config_last_reload_successful is {{ $value | humanize }}). It "
            "would not start with the new one.",
        ),
        Alert(
            name="OntapClusterFilesBroken",
            expr=f"max by ({p.instance}) ({p.series('ontap_exporter_cluster_files_failed')}) > 0",
            summary="Files with clusters cannot be used by {{ $labels.instance }}.",
            description="{{ $value | humanize }} of the files that cluster_files names cannot be used by {{ "
            "$labels.instance }}. New or changed clusters in them are not applied.",
        ),
    )


def _scraped_wrongly(p: Promql) -> tuple[Alert, ...]:
    return (
        Alert(
            name="OntapClusterLabelLost",
            expr=text(f"""
                count by ({p.job}) (
                  {p.series("ontap_up", 'exported_cluster!=""')}
                  or {p.series("ontap_up", 'cluster=""')}
                )
            """),
            summary="The clusters of the job {{ $labels.job }} have lost their names.",
            description="{{ $value | humanize }} series of the job {{ $labels.job }} carry a label cluster "
            "that is not the exporter's, because its target has such a label and honor_labels "
            "is off. All clusters look like one to the rules and dashboards.",
        ),
        Alert(
            name="OntapJobNotWatched",
            expr=text(f"""
                count by ({p.job}) (
                  {p.series("ontap_exporter_build_info")} unless on ({p.instance}) {p.target("up")}
                )
            """),
            summary="The rules do not watch the exporters of the job {{ $labels.job }}.",
            description="{{ $value | humanize }} exporters are scraped by the job {{ $labels.job }}, which "
            "the selector of the rules does not match. Nobody is told when they are down.",
        ),
    )


def _unsteady(p: Promql) -> tuple[Alert, ...]:
    thresholds = p.settings.thresholds
    started = p.target("process_start_time_seconds")
    return (
        Alert(
            name="OntapExporterRestarting",
            expr=f"max by ({p.instance}) (changes({started}[1h])) > {thresholds.process_starts}",
            summary="The exporter {{ $labels.instance }} starts again and again.",
            description="{{ $labels.instance }} has been started {{ $value | humanize }} times within an "
            "hour. What is not polled between two starts is not known: clusters may be down "
            "without an alert.",
        ),
        Alert(
            name="OntapScrapesFlapping",
            expr=f"max by ({p.instance}) (changes({p.target('up')}[1h])) > {thresholds.scrape_changes}",
            summary="Scrapes of {{ $labels.instance }} fail again and again.",
            description="Scrapes of {{ $labels.instance }} have begun or ceased to fail {{ $value | "
            "humanize }} times within an hour. Each time was too short for the alert that it is "
            "down.",
        ),
    )


def _blind(p: Promql) -> tuple[Alert, ...]:
    polled = text(f"""
        {p.series("ontap_up")} unless on ({p.polled}) {p.series("ontap_polls_total")} == 0
    """)
    skews = p.series("ontap_cluster_clock_skew_seconds")
    enough = p.settings.thresholds.reaches_none_of
    return (
        Alert(
            name="OntapExporterReachesNoCluster",
            why="Either it has some clusters, and other processes reach theirs, or another process reaches "
            "one of its own. One cluster that is down is no fault of the process.",
            expr=text(f"""
                max by ({p.instance}) ({polled}) == 0
                and on ({p.instance}) (
                  count by ({p.instance}) ({polled}) >= {enough}
                  or max by ({p.instance}) (
                    ({polled}) + on ({p.cluster}, job) group_left () max by ({p.cluster}, job) ({UP})
                  ) > 0
                )
                and on ({p.job}) max by ({p.job}) ({UP}) == 1
            """),
            summary="The exporter {{ $labels.instance }} reaches no cluster, while others do.",
            description="No poll of {{ $labels.instance }} succeeds (the highest ontap_up is {{ $value | "
            "humanize }}), while other processes of the job {{ $labels.job }} reach clusters. "
            "Probably its network or its secrets are at fault.",
        ),
        Alert(
            name="OntapExporterClockSkewed",
            why="Most clusters are wrong by the same: it is the exporter's own clock.",
            expr=text(f"""
                abs(quantile by ({p.instance}) (0.5, {skews})) > {p.settings.thresholds.clock_skew_seconds:g}
                and on ({p.instance}) count by ({p.instance}) ({skews}) >= {enough}
            """),
            summary="The clock of the exporter {{ $labels.instance }} is wrong.",
            description="The clocks of {{ $labels.instance }} and of most of its clusters differ by {{ "
            "$value | humanizeDuration }}. Ages of packages are wrong by this, and beyond an "
            "hour, cleanup deletes nothing by age.",
        ),
    )


def _behind(p: Promql) -> tuple[Alert, ...]:
    thresholds = p.settings.thresholds
    missed = f"increase({p.series('ontap_exporter_polls_missed_total')}[1h])"
    polls = f"increase({p.series('ontap_polls_total')}[1h])"
    return (
        Alert(
            name="OntapPollsLate",
            expr=text(f"""
                1 - min by ({p.instance}) (
                  avg_over_time({p.series("ontap_exporter_keeping_up")}[15m])
                ) > {thresholds.polls_late_ratio:g}
            """),
            summary="The exporter {{ $labels.instance }} polls its clusters late.",
            description="In {{ $value | humanizePercentage }} of the last 15 minutes, polls of {{ "
            "$labels.instance }} started late. More polls are due than max_concurrent_polls or "
            "the machine allows.",
        ),
        Alert(
            name="OntapPollsSkipped",
            expr=text(f"""
                max by ({p.instance}) ({missed})
                / on ({p.instance}) (
                  max by ({p.instance}) ({missed}) + on ({p.instance}) sum by ({p.instance}) ({polls})
                )
                > {thresholds.polls_skipped_ratio:g}
            """),
            summary="The exporter {{ $labels.instance }} skips polls.",
            description="{{ $value | humanizePercentage }} of the polls of {{ $labels.instance }} within an "
            "hour were skipped, because the poll before of the same cluster was still waiting "
            "or running.",
        ),
    )
