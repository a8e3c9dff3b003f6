"""The deletion of one package. No I/O.

Source: DELETE /cluster/software/packages/{version} (ONTAP 9.6).
"""

from __future__ import annotations

import re

from exporter.ontap.errors import BadResponse
from exporter.ontap.requests.jobs import job_uuid
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.ontap.requests.messages import Conversation, Request, read_object

_SAFE_VERSION = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,128}")


def is_safe_version(version: str) -> bool:
    """Say whether a version is safe in the path of a URL.

    DELETE on the collection, or on a path that ``.`` or ``..`` shortens to it, would delete every package.
    """
    return _SAFE_VERSION.fullmatch(version) is not None


def delete_package(version: str, *, return_timeout_seconds: int) -> Conversation[str | None]:
    """Ask for the deletion of one package; return the uuid of its job, None if ONTAP names none.

    If the status is a success but the body cannot be read, ONTAP has accepted the deletion and named no job.

    Raises:
        ValueError: the version is not safe in a URL; nothing is sent.
        ApiError: the status is a success, but the answer states an error.
    """
    if not is_safe_version(version):
        raise ValueError(f"not safe in a URL: {version!r}")
    target = f"{PACKAGES_PATH}/{version}?return_timeout={return_timeout_seconds}"
    response = yield Request(method="DELETE", target=target)
    try:
        document = read_object(response)
    except BadResponse:
        return None
    if (uuid := job_uuid(document.get("job"), response.redact)) is not None:
        return uuid
    jobs = document.get("jobs")
    uuids = {job_uuid(job, response.redact) for job in jobs} if isinstance(jobs, list) else set()
    return uuids.pop() if len(uuids) == 1 else None
