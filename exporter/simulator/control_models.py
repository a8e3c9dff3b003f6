"""Reads what is sent to the control of a simulator; every mistake is told with the key at fault."""

import json
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus

from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.cluster_facts import DownloadState, UpdateState
from exporter.simulator.state.package_repository import Package
from exporter.simulator.state.simulated_cluster import SimulatedCluster

Reader = Callable[[str, object], object]


class InputError(Exception):
    """What was sent is wrong; the text says what, and names the key."""


class MissingError(Exception):
    """What the path names does not exist."""


def parsed_object(body: bytes) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        InputError: It is none.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise InputError(f"the body is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InputError("the body is no JSON object")
    return document


def parsed_fault(document: Mapping[str, object]) -> Fault:
    """Read a fault.

    Raises:
        InputError: A key is unknown, missing, or has a value that it cannot have.
    """
    _refuse_unknown(document, {"kind", *_FAULT_READERS})
    kind = document.get("kind")
    if kind not in tuple(FaultKind):
        raise InputError(f"kind: {kind!r} is none of {', '.join(FaultKind)}")
    values = {name: _FAULT_READERS[name](name, value) for name, value in document.items() if name != "kind"}
    build: Callable[..., Fault] = Fault
    return build(FaultKind(str(kind)), **values)


def parsed_package(document: Mapping[str, object], now: object) -> Package:
    """Read a package; one without a create_time is created now.

    Raises:
        InputError: A key is unknown, or the version is missing.
    """
    _refuse_unknown(document, {"version", "create_time"})
    if "version" not in document:
        raise InputError("version: it is missing")
    version = document["version"]
    return Package(None if version is None else _text("version", version), document.get("create_time", now))


def parsed_changes(document: Mapping[str, object]) -> dict[str, object]:
    """Read new values of a cluster's attributes.

    Raises:
        InputError: A key is unknown or has a value that it cannot have.
    """
    _refuse_unknown(document, _CHANGE_READERS)
    return {name: _CHANGE_READERS[name](name, value) for name, value in document.items()}


def apply_changes(cluster: SimulatedCluster, changes: Mapping[str, object]) -> None:
    """Give a cluster's attributes new values; the simulator sees to `reachable`."""
    for name, value in changes.items():
        if name != "reachable":
            setattr(cluster, name, value)


def parsed_newest(text: str | None) -> int | None:
    """Read how many of the newest are wanted; None for all.

    Raises:
        InputError: It is no whole number.
    """
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise InputError(f"newest: {text!r} is no whole number")
    return int(text)


def _refuse_unknown(document: Mapping[str, object], known: "set[str] | dict[str, Reader]") -> None:
    for name in document:
        if name not in known:
            raise InputError(f"{name}: unknown; known are {', '.join(sorted(known))}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name}: {value!r} is no text")
    return value


def _optional_text(name: str, value: object) -> str | None:
    return None if value is None else _text(name, value)


def _body(name: str, value: object) -> bytes:
    return _text(name, value).encode()


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name}: {value!r} is neither true nor false")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{name}: {value!r} is no number")
    if not 0 <= value < math.inf:
        raise InputError(f"{name}: {value!r} is negative or no finite number")
    return float(value)


def _retry_after(name: str, value: object) -> float | str:
    if isinstance(value, str):
        return value
    seconds = _seconds(name, value)
    return int(seconds) if seconds.is_integer() else seconds


def _whole(least: int, most: int = 2**31) -> Reader:
    def read(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{name}: {value!r} is no whole number")
        if not least <= value <= most:
            raise InputError(f"{name}: {value!r} is not in {least}..{most}")
        return value

    return read


def _one_of(*words: str) -> Reader:
    def read(name: str, value: object) -> str:
        if value not in words:
            raise InputError(f"{name}: {value!r} is none of {', '.join(words)}")
        return str(value)

    return read


def _update_state(name: str, value: object) -> str | None:
    return None if value is None else str(_one_of(*UpdateState)(name, value))


_FAULT_READERS: dict[str, Reader] = {
    "method": _text,
    "path": _text,
    "exact": _truth,
    "page": _whole(1),
    "times": _whole(0),
    "skip": _whole(0),
    "seconds": _seconds,
    "status": _whole(HTTPStatus.OK, 599),
    "code": _whole(0),
    "message": _text,
    "retry_after": _retry_after,
    "location": _text,
    "text": _text,
    "body": _body,
    "content_type": _text,
}
_CHANGE_READERS: dict[str, Reader] = {
    "version": _text,
    "pending_version": _optional_text,
    "update_state": _update_state,
    "download_state": _one_of(*DownloadState),
    "reachable": _truth,
    "job_seconds": _seconds,
    "record_seconds": _seconds,
    "num_records": _truth,
    "password": _text,
}
