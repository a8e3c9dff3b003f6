"""Faults that answer instead of the API: the request is not carried out."""

from http import HTTPStatus

from exporter.simulator.api.ontap_replies import ERRORS, RefusedError, Reply, error_message
from exporter.simulator.faults.fault import Fault, FaultKind

_CODES = {
    FaultKind.UNAUTHORIZED: 6691623,
    FaultKind.FORBIDDEN: 6,
    FaultKind.TOO_MANY_REQUESTS: 262160,
    FaultKind.SERVER_ERROR: 262145,
}
_ERROR_KINDS = frozenset({*_CODES, FaultKind.UNAVAILABLE, FaultKind.ERROR, FaultKind.DELETE_ERROR})
_SIGN_IN = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


def replaced_reply(fault: Fault, target: str) -> Reply | None:
    """The reply that a fault gives instead of the API; None if the request is to be carried out.

    Raises:
        RefusedError: The reply is an error in ONTAP's form.
    """
    if fault.kind in _ERROR_KINDS:
        raise _error(fault)
    status = fault.status or HTTPStatus.OK
    match fault.kind:
        case FaultKind.RESET:
            return Reply(status=status)
        case FaultKind.HTML:
            return Reply(status=status, body=_SIGN_IN, content_type="text/html; charset=utf-8")
        case FaultKind.REPLY:
            return Reply(
                status=status, body=fault.body, content_type=fault.content_type, headers=_retry_after(fault)
            )
        case FaultKind.REDIRECT:
            location = fault.location.replace("{target}", target)
            status = fault.status or HTTPStatus.TEMPORARY_REDIRECT
            return Reply(status=status, headers=(("Location", location),))
        case _:
            return None


def _error(fault: Fault) -> RefusedError:
    code = _CODES.get(fault.kind, fault.code)
    status, message = ERRORS.get(code, (HTTPStatus.INTERNAL_SERVER_ERROR, error_message(code)))
    if fault.kind is FaultKind.UNAVAILABLE:
        status, message = HTTPStatus.SERVICE_UNAVAILABLE, "The service is not available now."
    return RefusedError(fault.status or status, code, fault.message or message, headers=_retry_after(fault))


def _retry_after(fault: Fault) -> tuple[tuple[str, str], ...]:
    value = fault.retry_after
    if value is None and fault.kind is FaultKind.TOO_MANY_REQUESTS:
        value = 1
    return () if value is None else (("Retry-After", str(value)),)
