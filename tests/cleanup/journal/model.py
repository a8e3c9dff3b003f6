"""What the journal should hold, as a few dictionaries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from exporter.cleanup.records import Deletion, Outcome, Phase, Run


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

    def unended(self) -> list[Deletion]:
        return [one for one in self.deletions.values() if one.phase is not Phase.ENDED]

    def may_write_to(self, run_id: int) -> bool:
        run = self.runs.get(run_id)
        return run is not None and run.ended_timestamp_seconds is None and not run.dry_run

    def is_in(self, deletion: Deletion, *phases: Phase) -> bool:
        found = self.deletions.get(deletion.id)
        return found is not None and found.phase in phases

    def end_run(self, run: Run, error: str, *, success: bool, now: float) -> None:
        self.runs[run.id] = replace(run, ended_timestamp_seconds=now, success=success, error=kept(error))
        last = self.last[run.cluster, run.policy]
        last |= {"last_ended_timestamp_seconds": now, "last_success": success}
        if success:
            last["last_success_timestamp_seconds"] = now

    def count(self, deletion: Deletion) -> None:
        assert deletion.outcome is not None
        self.outcomes[deletion.cluster, deletion.policy, deletion.outcome] += 1
        if deletion.code:
            self.codes[deletion.cluster, deletion.policy, deletion.code] += 1

    def prune(self, keep_runs: int, cluster: str | None) -> int:
        ended: dict[tuple[str, str], list[int]] = {}
        for run in self.runs.values():
            if run.ended_timestamp_seconds is not None and cluster in {None, run.cluster}:
                ended.setdefault((run.cluster, run.policy), []).append(run.id)
        held = {one.run_id for one in self.unended()}
        old = {run for runs in ended.values() for run in sorted(runs, reverse=True)[keep_runs:]} - held
        self.runs = {run_id: run for run_id, run in self.runs.items() if run_id not in old}
        self.deletions = {key: one for key, one in self.deletions.items() if one.run_id not in old}
        return len(old)
