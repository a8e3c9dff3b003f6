"""Replies of a simulated cluster, and ONTAP's error codes.

Source: https://docs.netapp.com/us-en/ontap-restapi/delete-cluster-software-packages-.html
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from exporter.simulator.faults.fault import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply."""

    status: int
    body: bytes = b""
    content_type: str = "application/hal+json"
    headers: tuple[tuple[str, str], ...] = ()
    damage: Fault | None = None
    """The fault that goes wrong with its delivery."""


class RefusedError(Exception):
    """The cluster refuses a request, as ONTAP would.

    Attributes:
        status: The HTTP status.
        code: ONTAP's error code.
        message: What it says.
        target: The parameter or field at fault.
        headers: Further headers of the reply.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        target: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = tuple(headers)


ERRORS: dict[int, tuple[int, str]] = {
    3: (HTTPStatus.NOT_FOUND, "API not found"),
    4: (HTTPStatus.NOT_FOUND, "entry doesn't exist"),
    6: (HTTPStatus.FORBIDDEN, "not authorized for that command"),
    8: (HTTPStatus.CONFLICT, "The entry is in use."),
    262145: (HTTPStatus.INTERNAL_SERVER_ERROR, "An unexpected internal error occurred."),
    262160: (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests. Wait before trying again."),
    262179: (HTTPStatus.BAD_REQUEST, "Unexpected argument."),
    262197: (HTTPStatus.BAD_REQUEST, "A value is invalid."),
    262198: (HTTPStatus.BAD_REQUEST, "A body is not allowed for this request."),
    6691623: (HTTPStatus.UNAUTHORIZED, "User is not authorized."),
    10551315: (HTTPStatus.NOT_FOUND, "The cluster image package repository does not contain any packages."),
    10551322: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error. Failed to retrieve the package cleanup status.",
    ),
    10551323: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error. Failed to remove the package information on a node.",
    ),
    10551324: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error. Failed to remove the package information on several nodes.",
    ),
    10551325: (HTTPStatus.NOT_FOUND, "The required package could not be found in the repository."),
    10551326: (HTTPStatus.INTERNAL_SERVER_ERROR, "Error while deleting older package cleanup tasks."),
    10551346: (HTTPStatus.CONFLICT, "A package validation is in progress. Try again when it is completed."),
    10551347: (HTTPStatus.CONFLICT, "An update is in progress. Try again when it is completed."),
    10551367: (HTTPStatus.CONFLICT, "The package repository is busy. Try again later."),
    10551388: (HTTPStatus.INTERNAL_SERVER_ERROR, "The package delete operation timed out."),
    10551892: (HTTPStatus.INTERNAL_SERVER_ERROR, "A node is not healthy. Restore it, then try again."),
}
"""ONTAP's error codes: the status they plausibly come with and what they say."""


def error_message(code: int) -> str:
    """What ONTAP says with an error code, or a plain phrase for one that is not in the table."""
    return ERRORS[code][1] if code in ERRORS else f"Error {code}."


def refused(code: int, *, target: str | None = None, message: str | None = None) -> RefusedError:
    """The refusal that belongs to one of ONTAP's error codes."""
    status = ERRORS[code][0] if code in ERRORS else HTTPStatus.INTERNAL_SERVER_ERROR
    return RefusedError(int(status), code, message or error_message(code), target=target)


def json_body(document: object) -> bytes:
    """Write a document as ONTAP does: indented, as a tester sees it with curl."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def error_reply(error: RefusedError, content_type: str) -> Reply:
    """The reply to a refused request.

    Source: https://docs.netapp.com/us-en/ontap-automation/rest/errors.html
    """
    body = {"message": error.message, "code": str(error.code)}
    if error.target is not None:
        body["target"] = error.target
    return Reply(
        status=error.status,
        body=json_body({"error": body}),
        content_type=content_type,
        headers=error.headers,
    )
