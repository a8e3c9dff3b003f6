"""The query of a request: its parameters, their ranges, and the selection of fields.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/queries.html
"""

from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exporter.simulator.api.ontap_replies import RefusedError
from exporter.simulator.state.received_requests import ReceivedRequest

START = "start.number"
"""In a next link: the number of the first record of its page."""
PAGE = "start.page"
"""In a next link: which page of the listing it leads to, from 1."""
START_PARAMETERS = (START, PAGE)

ReturnTimeout = Annotated[int, Field(ge=0, le=120)]
"""Whole seconds after which ONTAP answers with what it has."""


class DeleteQuery(BaseModel):
    """What a DELETE may carry."""

    model_config = ConfigDict(extra="forbid")

    return_timeout: ReturnTimeout = 0


class CollectionDeleteQuery(DeleteQuery):
    """What a DELETE on a collection may carry."""

    version: str = "*"
    """A pattern, with `*` for anything."""


class ObjectQuery(BaseModel):
    """What a GET on a single object may ask for."""

    model_config = ConfigDict(extra="forbid")

    fields: str | None = None
    return_timeout: ReturnTimeout = 15

    def selected(self, known: Iterable[str]) -> frozenset[str]:
        """The fields that `fields` names, out of the known ones; none if it is not given.

        Raises:
            RefusedError: A field is not known.
        """
        if self.fields is None:
            return frozenset()
        names = frozenset(name.strip() for name in self.fields.split(","))
        if names & {"*", "**"}:
            return frozenset(known)
        for name in sorted(names - set(known)):
            raise _invalid_value("fields", name)
        return names


class CollectionQuery(ObjectQuery):
    """What a GET on a collection may ask for."""

    max_records: Annotated[int, Field(ge=1)] = 10_000
    start: Annotated[int, Field(alias=START, ge=0)] = 0
    page: Annotated[int, Field(alias=PAGE, ge=1)] = 1


Q = TypeVar("Q", bound=BaseModel)


def parsed_query(model: type[Q], request: ReceivedRequest) -> Q:
    """Read the query of a request.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        mistake = error.errors()[0]
        name = str(mistake["loc"][0])
        if mistake["type"] == "extra_forbidden":
            message = f'Unexpected argument "{name}".'
            raise RefusedError(262179, target=name, message=message) from error
        raise _invalid_value(name, mistake["input"]) from error


def page_number(request: ReceivedRequest) -> int:
    """Which page of its listing a request asks for, from 1."""
    text = dict(request.query).get(PAGE, "")
    return int(text) if text.isdecimal() else 1


def _invalid_value(field: str, value: str) -> RefusedError:
    return RefusedError(262197, target=field, message=f'The value "{value}" is invalid for field "{field}"')
