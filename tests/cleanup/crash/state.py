"""The state as a file that others look into: while the daemon lives, and after it was killed."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.cleanup.records import Outcome, Phase

LOOK_SECONDS = 0.001
"""Between two looks at the file of a daemon that lives."""

Fact = tuple[str, int, str, int]
"""Something that the journal has come to hold: ("run", id, "begun" or "ended", 0), or ("deletion", id, phase,
attempts)."""


class Position(StrEnum):
    """Where cleanup of a cluster stands, as the journal has it."""

    NOTHING = "nothing"  # no run is going on: before the first, between two, or while the preflight is read
    BEGUN = "begun"  # a run is going on that has no deletion yet
    INTENDED = "intended"  # DELETE is about to be sent, or was
    WAITING = "waiting"  # the repository was busy
    FOLLOWED = "followed"  # a job is followed
    BETWEEN = "between"  # every deletion of the run so far has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRow:
    """A row of the deletions."""

    id: int
    run_id: int
    cluster: str
    version: str
    phase: Phase
    attempts: int
    job_uuid: str | None
    outcome: Outcome | None
    code: str

    @property
    def ended(self) -> bool:
        return self.phase is Phase.ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the file holds."""

    runs: Mapping[int, tuple[str, bool]]
    """The cluster of every run, and whether the run has ended."""
    deletions: tuple[DeletionRow, ...]
    outcomes: Mapping[tuple[str, str], int]
    """The totals, by cluster and outcome."""
    codes: Mapping[tuple[str, str], int]
    """The totals, by cluster and code."""
    timed: int
    """How many deletions the durations count."""

    @property
    def unended(self) -> tuple[DeletionRow, ...]:
        return tuple(row for row in self.deletions if not row.ended)

    @property
    def runs_going_on(self) -> tuple[int, ...]:
        return tuple(run_id for run_id, (_, ended) in self.runs.items() if not ended)

    def of(self, version: str) -> tuple[DeletionRow, ...]:
        """Return the deletions of a version, oldest first."""
        return tuple(row for row in self.deletions if row.version == version)

    def position(self, cluster: str) -> Position:
        """Say where cleanup of a cluster stands."""
        unended = [row.phase for row in self.unended if row.cluster == cluster]
        assert len(unended) <= 1, f"more than one deletion at a time on {cluster}: {self.unended}"
        if unended:
            return Position(unended[0])
        going_on = [run_id for run_id in self.runs_going_on if self.runs[run_id][0] == cluster]
        if not going_on:
            return Position.NOTHING
        begun = not any(row.run_id in going_on for row in self.deletions)
        return Position.BEGUN if begun else Position.BETWEEN

    def facts(self) -> frozenset[Fact]:
        """Return everything that the journal has come to hold."""
        return frozenset(self._facts())

    def _facts(self) -> Iterator[Fact]:
        for run_id, (_, ended) in self.runs.items():
            yield "run", run_id, "ended" if ended else "begun", 0
        for row in self.deletions:
            yield "deletion", row.id, str(row.phase), row.attempts


NO_STATE = State(runs={}, deletions=(), outcomes={}, codes={}, timed=0)


class StateFile:
    """The SQLite file of a daemon.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """The file that a commit is written to."""
        return self.path.with_name(f"{self.path.name}-wal")

    def look(self) -> State:
        """Look into the file of a daemon that lives; what cannot be read yet is empty."""
        with self._watching() as connection:
            return NO_STATE if connection is None else _read(connection)

    async def until(self, condition: Callable[[State], bool], *, seconds: float, what: str) -> State:
        """Look until the file meets a condition, and return what it holds."""
        with self._watching() as connection:
            return await self._until(condition, connection, seconds, what)

    async def until_new(
        self, wanted: Callable[[Fact], bool], *, before: State, number: int, seconds: float
    ) -> None:
        """Wait until so many wanted facts have come up that were not there before."""
        known = before.facts()
        seen: set[Fact] = set()

        def met(state: State) -> bool:
            seen.update(filter(wanted, state.facts() - known))
            return len(seen) >= number

        await self.until(met, seconds=seconds, what=f"{number} new facts")

    def autopsy(self) -> State:
        """Check the file of a daemon that was killed, and return what it holds.

        What is checked is a copy, so that the next life finds the file as this one has left it.
        """
        if not self.path.exists():
            return NO_STATE
        with TemporaryDirectory() as folder:
            copy = Path(folder) / self.path.name
            shutil.copyfile(self.path, copy)
            if self.log.exists():
                shutil.copyfile(self.log, f"{copy}-wal")
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
                return _read(connection)

    async def _until(
        self,
        condition: Callable[[State], bool],
        connection: sqlite3.Connection | None,
        seconds: float,
        what: str,
    ) -> State:
        state = NO_STATE
        try:
            async with asyncio.timeout(seconds):
                while not condition(state):
                    await asyncio.sleep(LOOK_SECONDS)
                    state = self.look() if connection is None else _read(connection)
        except TimeoutError as exc:
            raise TimeoutError(f"waited {seconds} s for {what}; last: {state}") from exc
        return state

    @contextmanager
    def _watching(self) -> Iterator[sqlite3.Connection | None]:
        if not self.path.exists():
            yield None
            return
        with closing(
            sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=0.0, isolation_level=None)
        ) as connection:
            yield connection


def _read(connection: sqlite3.Connection) -> State:
    """Read everything at one moment; nothing where there are no tables yet, or where they cannot be read."""
    try:
        connection.execute("BEGIN")
        try:
            return _rows(connection)
        finally:
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return NO_STATE


def _rows(connection: sqlite3.Connection) -> State:
    runs = connection.execute(
        "SELECT id, cluster, ended_timestamp_seconds IS NOT NULL FROM cleanup_runs ORDER BY id"
    )
    deletions = connection.execute(
        "SELECT id, run_id, cluster, version, phase, attempts, job_uuid, outcome, code"
        " FROM cleanup_deletions ORDER BY id"
    )
    return State(
        runs={run_id: (cluster, bool(ended)) for run_id, cluster, ended in runs},
        deletions=tuple(_row(values) for values in deletions),
        outcomes=_counted(connection, "SELECT cluster, outcome, deletions FROM cleanup_outcomes"),
        codes=_counted(connection, "SELECT cluster, code, deletions FROM cleanup_codes"),
        timed=connection.execute("SELECT coalesce(sum(deletions), 0) FROM cleanup_durations").fetchone()[0],
    )


def _row(values: tuple[int, int, str, str, str, int, str | None, str | None, str]) -> DeletionRow:
    identity, run_id, cluster, version, phase, attempts, job_uuid, outcome, code = values
    return DeletionRow(
        id=identity,
        run_id=run_id,
        cluster=cluster,
        version=version,
        phase=Phase(phase),
        attempts=attempts,
        job_uuid=job_uuid,
        outcome=None if outcome is None else Outcome(outcome),
        code=code,
    )


def _counted(connection: sqlite3.Connection, query: str) -> Mapping[tuple[str, str], int]:
    return Counter({(cluster, name): count for cluster, name, count in connection.execute(query)})


class Chronicle:
    """Everything that the journal ever held, put together from many looks; what is pruned stays here.

    Attributes:
        deletions: the newest row of every deletion, by id.
    """

    def __init__(self) -> None:
        self.deletions: dict[int, DeletionRow] = {}

    def add(self, state: State) -> None:
        """Check one look against those before, and take it over."""
        for row in state.deletions:
            known = self.deletions.setdefault(row.id, row)
            assert not known.ended or known == row, f"an ended deletion has changed: {known} -> {row}"
            assert known.attempts <= row.attempts
            self.deletions[row.id] = row
        ended = [row for row in self.deletions.values() if row.ended]
        assert Counter((row.cluster, str(row.outcome)) for row in ended) == state.outcomes
        assert Counter((row.cluster, row.code) for row in ended if row.code) == state.codes
        assert sum(row.attempts > 0 for row in ended) == state.timed

    def of(self, cluster: str, version: str) -> tuple[DeletionRow, ...]:
        """Return the deletions of a version on a cluster, oldest first."""
        rows = (self.deletions[number] for number in sorted(self.deletions))
        return tuple(row for row in rows if (row.cluster, row.version) == (cluster, version))
