"""Models of the JSON that is sent to the control interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from exporter.simulator.faults.fault import Fault, Seconds
from exporter.simulator.state.cluster_facts import DownloadState, UpdateState

M = TypeVar("M", bound=BaseModel)


class InputError(Exception):
    """The input has mistakes; the text has the key and the reason of each."""


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewPackage(_Input):
    """A package to add.

    Attributes:
        version: Its version; None makes a record with `"version": null`.
        create_time: Any JSON; without it, the package is created now.
    """

    version: str | None
    create_time: object = None


class ClusterChanges(_Input):
    """New values of a cluster's attributes: those that are sent."""

    version: str = ""
    pending_version: str | None = None
    update_state: UpdateState | None = None
    download_state: DownloadState = DownloadState.NOT_STARTED
    reachable: bool = True
    job_seconds: Seconds = 0.0
    record_seconds: Seconds = 0.0
    num_records: bool = True
    password: str = ""


_FAULT = TypeAdapter(Fault)


def parsed_fault(body: bytes) -> Fault:
    """Read a fault.

    Raises:
        InputError: It is no JSON, a key is unknown or missing, or a value is not possible.
    """
    with _mistakes_by_key():
        return _FAULT.validate_json(body, strict=True)


def fault_document(fault: Fault) -> dict[str, object]:
    """A fault as JSON, without the keys that have their defaults."""
    document: dict[str, object] = _FAULT.dump_python(fault, mode="json", exclude_defaults=True)
    return document


def parsed(model: type[M], body: bytes) -> M:
    """Read a JSON object.

    Raises:
        InputError: It is no JSON, a key is unknown or missing, or a value is not possible.
    """
    with _mistakes_by_key():
        return model.model_validate_json(body, strict=True)


@contextmanager
def _mistakes_by_key() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        reasons = []
        for mistake in error.errors():
            unknown = mistake["type"] in ("extra_forbidden", "unexpected_keyword_argument")
            reason = "unknown key" if unknown else mistake["msg"][0].lower() + mistake["msg"][1:]
            reasons.append(f"{mistake['loc'][0]}: {reason}" if mistake["loc"] else reason)
        raise InputError("; ".join(reasons)) from error
