"""What the saved plan of a policy with ``approved_plan`` lets it delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from exporter.background import SingleFlight
from exporter.cleanup.decide.plan import Approved
from exporter.config import PolicyConfig
from exporter.config.plan_file import SavedPlan, load_plan

READ_SECONDS: Final = 10.0
"""How long reading a saved plan may take, from a hung mount for example."""


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
            if package.verdict == "delete" and one.cluster_uuid is not None and not one.problem
        ]
        return Approved(packages=frozenset(chosen))
