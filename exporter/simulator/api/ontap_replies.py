"""Replies of a simulated cluster, and ONTAP's error codes.

Source: https://docs.netapp.com/us-en/ontap-restapi/delete-cluster-software-packages-.html
"""

import json
from dataclasses import dataclass

from exporter.simulator.faults.fault import Fault

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply."""

    status: int
    body: bytes = b""
    content_type: str = "application/hal+json"
    headers: Headers = ()
    damage: Fault | None = None
    """The fault that goes wrong with its delivery."""


ERRORS: dict[int, tuple[int, str]] = {
    3: (404, "API not found"),
    4: (404, "entry doesn't exist"),
    6: (403, "not authorized for that command"),
    8: (409, "The entry is in use."),
    262145: (500, "An unexpected internal error occurred."),
    262160: (429, "Too many requests. Wait before trying again."),
    262179: (400, "Unexpected argument."),
    262197: (400, "A value is invalid."),
    262198: (400, "A body is not allowed for this request."),
    6691623: (401, "User is not authorized."),
    10551315: (404, "The cluster image package repository does not contain any packages."),
    10551322: (500, "Internal error. Failed to retrieve the package cleanup status."),
    10551323: (500, "Internal error. Failed to remove the package information on a node."),
    10551324: (500, "Internal error. Failed to remove the package information on several nodes."),
    10551325: (404, "The required package could not be found in the repository."),
    10551326: (500, "Error while deleting older package cleanup tasks."),
    10551346: (409, "A package validation is in progress. Try again when it is completed."),
    10551347: (409, "An update is in progress. Try again when it is completed."),
    10551367: (409, "The package repository is busy. Try again later."),
    10551388: (500, "The package delete operation timed out."),
    10551892: (500, "A node is not healthy. Restore it, then try again."),
}
"""ONTAP's error codes: the status they plausibly come with and what they say."""


class RefusedError(Exception):
    """The cluster refuses a request, as ONTAP would.

    HTTP status and message are those of ONTAP's code unless they are given; `target` is the parameter or
    field at fault.
    """

    def __init__(
        self,
        code: int,
        *,
        status: int | None = None,
        message: str | None = None,
        target: str | None = None,
        headers: Headers = (),
    ) -> None:
        usual_status, usual_message = ERRORS.get(code, (500, f"Error {code}."))
        self.code = code
        self.status = status or usual_status
        self.message = message or usual_message
        self.target = target
        self.headers = headers
        super().__init__(self.message)

    def reply(self, content_type: str) -> Reply:
        """The reply to the request.

        Source: https://docs.netapp.com/us-en/ontap-automation/rest/errors.html
        """
        error = {"message": self.message, "code": str(self.code)}
        if self.target is not None:
            error["target"] = self.target
        body = json_body({"error": error})
        return Reply(status=self.status, body=body, content_type=content_type, headers=self.headers)


def json_body(document: object) -> bytes:
    """Write a document as ONTAP does: indented, as a tester sees it with curl."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
