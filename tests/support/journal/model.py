"""What the journal should hold, as a few dictionaries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Phase, Run


def kept(text: str) -> str:
    return "".join("\ufffd" if one == "\0" or 0xD800 <= ord(one) <= 0xDFFF else one for one in text)


@dataclass
class Model:
    """What the journal should hold."""

    runs: dict[int, Run] = field(default_factory=dict)
    deletions: dict[int, Deletion] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str, Outcome]] = field(default_factory=Counter)
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: dict[str, list[float]] = field(default_factory=dict)
    last: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    paused: set[tuple[str, str]] = field(default_factory=set)
    kill_switch: bool = False

    def unfinished(self) -> list[Deletion]:
        return [one for one in self.deletions.values() if one.phase is not Phase.ENDED]

    def unfinished_on(self, uuid: str) -> list[Deletion]:
        return [one for one in self.unfinished() if one.cluster_uuid == uuid]

    def goes_on(self, run_id: int, uuid: str) -> bool:
        run = self.runs.get(run_id)
        return run is not None and run.ended_timestamp_seconds is None and run.cluster_uuid == uuid

    def may_write_to(self, run_id: int, uuid: str) -> bool:
        return self.goes_on(run_id, uuid) and not self.runs[run_id].dry_run

    def stops(self, policy: str, digest: str) -> bool:
        return self.kill_switch or (policy, digest) in self.paused

    def count_failures(self, deletion: Deletion, stop_after_failures: int) -> None:
        variant = deletion.policy, deletion.policy_digest
        if deletion.outcome in {Outcome.SUCCESS, Outcome.ALREADY_GONE} and variant not in self.paused:
            self.failures[variant] = 0
        elif deletion.outcome in {Outcome.FAILURE, Outcome.TIMEOUT}:
            self.failures[variant] += 1
            if 0 < stop_after_failures <= self.failures[variant]:
                self.paused.add(variant)

    def resume(self) -> None:
        policies = {policy for policy, _ in self.paused}
        for variant in [one for one in self.failures if one[0] in policies]:
            del self.failures[variant]
            self.paused.discard(variant)

    def sent(self) -> list[Deletion]:
        """Return the deletions that count for the day, of which none is older."""
        return [
            one for one in self.deletions.values() if one.attempts and one.outcome is not Outcome.PROTECTED
        ]

    def is_in(self, deletion: Deletion, *phases: Phase) -> bool:
        found = self.deletions.get(deletion.id)
        return found is not None and found.phase in phases

    def end_run(self, run: Run, failure: str, error: str, *, success: bool, now: float) -> None:
        self.runs[run.id] = replace(
            run, ended_timestamp_seconds=now, success=success, failure=failure, error=kept(error)
        )
        last = self.last[run.cluster, run.policy]
        last |= {"last_ended_timestamp_seconds": now, "last_success": success, "last_failure": failure}
        if success:
            last["last_success_timestamp_seconds"] = now

    def count(self, deletion: Deletion) -> None:
        assert deletion.outcome is not None
        self.outcomes[deletion.cluster, deletion.policy, deletion.outcome] += 1
        if deletion.code:
            self.codes[deletion.cluster, deletion.policy, deletion.code] += 1

    def prune(self, keep_runs: int, uuid: str) -> int:
        ended: dict[str, list[int]] = {}
        for run in self.runs.values():
            if run.ended_timestamp_seconds is not None and uuid == run.cluster_uuid:
                ended.setdefault(run.policy, []).append(run.id)
        held = {one.run_id for one in [*self.unfinished(), *self.sent()]}
        old = {run for runs in ended.values() for run in sorted(runs, reverse=True)[keep_runs:]} - held
        self.runs = {run_id: run for run_id, run in self.runs.items() if run_id not in old}
        self.deletions = {key: one for key, one in self.deletions.items() if one.run_id not in old}
        return len(old)
