"""What needs a person now, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.metrics.exporter_metrics import ExporterState
from exporter.ontap.errors import Reason
from exporter.web.pages.wording import FAILURE_ADVICE, FAILURES, RUN_ADVICE, RUN_FAILURES
from exporter.web.sources import CleanupSources


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that is wrong and does not mend itself, and what to do about it."""

    what: str
    advice: str
    link: str = ""
    """Where to see more, from ``/`` on; "" if there is no such page."""


def needs(
    exporter: ExporterState,
    failing: Iterable[tuple[Reason, int]],
    cleanup: CleanupSources | None,
    *,
    unknown: int = 0,
) -> Iterator[Need]:
    """Yield what needs a person, what concerns the whole fleet first.

    ``failing`` is why the last polls failed, and of how many clusters; ``unknown`` counts the clusters whose
    last poll was good, but so long ago that their packages are not known.
    """
    if not exporter.last_reload_successful:
        yield Need(
            what="The configuration was refused when it was last read, so the previous one stays applied.",
            advice="The log says why. check-config names every mistake with its line.",
        )
    if exporter.cluster_files_failed:
        yield Need(
            what=f"{exporter.cluster_files_failed} of {exporter.cluster_files} cluster files cannot be used, "
            "so their last good content stays applied.",
            advice="The log says why. check-config names every mistake with its line.",
        )
    if not exporter.keeping_up:
        yield Need(
            what="Polls start late, or are skipped: the exporter does not keep up with its clusters.",
            advice="Raise max_concurrent_polls or poll_interval, or divide the clusters among processes.",
        )
    if unknown:
        yield Need(
            what=f"{_clusters(unknown)}: the last good poll is longer ago than stale_after, so the packages "
            "are not known.",
            advice="Let stale_after be longer than poll_interval; find out why polls come late.",
            link="?state=stale",
        )
    if cleanup is not None:
        yield from cleanup_needs(cleanup)
    for reason, count in failing:
        yield Need(
            what=f"{_clusters(count)}: {FAILURES[reason]} ({reason}).",
            advice=FAILURE_ADVICE[reason],
            link=f"?state={reason}",
        )


def cleanup_needs(cleanup: CleanupSources) -> Iterator[Need]:
    """Yield what keeps cleanup from doing what it is set to do."""
    state = cleanup.state()
    if state.halted:
        yield Need(
            what="The kill switch is on: nothing is deleted.",
            advice="SIGUSR2 turns it off, in all processes of the journal.",
            link="cleanup",
        )
    if problem := cleanup.service.problem:
        yield Need(
            what=f"The journal cannot be used, so nothing is deleted: {problem}",
            advice="Deleting goes on by itself once the journal can be opened.",
            link="cleanup",
        )
    for pause in cleanup.service.pauses():
        yield Need(
            what=f"The policy {pause.policy} is paused: {pause.reason}",
            advice="Find out why these deletions fail; then change the policy, or reload to resume it.",
            link="cleanup",
        )
    failed = Counter(
        status.totals.last_failure
        for status in cleanup.board.statuses()
        if status.totals.last_success is False and status.totals.last_failure
    )
    for failure, count in failed.most_common():
        yield Need(
            what=f"The last cleanup failed on {_clusters(count)}: {RUN_FAILURES.get(failure, failure)}.",
            advice=RUN_ADVICE.get(failure, ""),
            link="cleanup#failed",
        )


def _clusters(count: int) -> str:
    return "1 cluster" if count == 1 else f"{count} clusters"
