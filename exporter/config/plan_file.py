"""The file that ``plan --save`` writes, and that ``approved_plan`` of a policy names."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ValidationError

from exporter.files import read_text, why_unreadable

LARGEST_PLAN_BYTES: Final = 256 * 1024 * 1024


class SavedPackage(BaseModel):
    """One package of a saved plan."""

    version: str
    verdict: Literal["delete", "keep"]


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
