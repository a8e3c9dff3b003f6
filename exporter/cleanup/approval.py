"""Saved plans: what ``plan --save`` writes, and what a policy with ``approved_plan`` may delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from exporter.background import SingleFlight
from exporter.cleanup.decide.plan import Approved, Verdict
from exporter.config import PolicyConfig
from exporter.config.checking.named_files import LARGEST_PLAN_BYTES
from exporter.files import read_text, why_unreadable

READ_SECONDS: Final = 10.0
"""How long reading a saved plan may take, from a hung mount for example."""


class SavedPackage(BaseModel):
    """One package of a saved plan."""

    version: str
    verdict: Verdict


class SavedPolicyPlan(BaseModel):
    """What one policy chose on one cluster when the plan was saved."""

    cluster: str
    cluster_uuid: str | None
    policy: str
    problem: str
    packages: tuple[SavedPackage, ...]


class SavedPlan(BaseModel):
    """A saved plan; keys that are not needed here are ignored."""

    saved_timestamp_seconds: float
    plans: tuple[SavedPolicyPlan, ...]


def load_plan(path: Path) -> SavedPlan:
    """Read a saved plan.

    Raises:
        ValueError: it cannot be read, or is no saved plan; the text says why, without the path.
    """
    try:
        return SavedPlan.model_validate_json(read_text(path, max_bytes=LARGEST_PLAN_BYTES))
    except OSError as exc:
        raise ValueError(why_unreadable(exc)) from None
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise ValueError(f"not a saved plan: {where}: {first['msg']}") from None


class SavedPlans:
    """Reads saved plans, each in one thread at a time."""

    def __init__(
        self, *, read: Callable[[Path], SavedPlan] = load_plan, read_seconds: float = READ_SECONDS
    ) -> None:
        self._read = read
        self._read_seconds = read_seconds
        self._readings: SingleFlight[SavedPlan] = SingleFlight(name="read an approved plan")

    async def approval_of(self, policy: PolicyConfig, *, now: float) -> Approved | None:
        """Return what a policy's saved plan approves, which is nothing if it cannot be used.

        None if the policy asks for no approval; ``now`` is in Unix seconds.
        """
        path = policy.approved_plan
        if path is None:
            return None
        try:
            async with asyncio.timeout(self._read_seconds):
                plan = await self._readings.run(partial(self._read, path), key=path)
        except TimeoutError:
            return Approved(packages=frozenset(), problem="the approved plan could not be read in time")
        except (BlockingIOError, ValueError) as exc:
            return Approved(packages=frozenset(), problem=f"the approved plan cannot be used: {exc}")
        age = now - plan.saved_timestamp_seconds
        if not 0 <= age <= policy.approval_valid_for.total_seconds():
            return Approved(packages=frozenset(), problem="the approved plan is too old, or from the future")
        chosen = [
            (one.cluster_uuid, package.version)
            for one in plan.plans
            for package in one.packages
            if package.verdict is Verdict.DELETE and one.cluster_uuid is not None and not one.problem
        ]
        return Approved(packages=frozenset(chosen))
