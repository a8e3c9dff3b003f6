"""Validates a part of a document against a model; every mistake goes to the document, in our words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Final, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from exporter.config.problems import HIDDEN, BadValueError, KeyPath, Problem
from exporter.config.reading.document import BROKEN, Document
from exporter.config.schema import Authorization, BasicAuth, OAuth2, Settings, StrictModel

_ModelT = TypeVar("_ModelT", bound=StrictModel)
_ValueT = TypeVar("_ValueT")

_EXPECTED: Final = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
}
_KINDS: Final = (
    (str, "text"),
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number with a fraction"),
    (list, "a list"),
    (dict, "a mapping"),
)
_LOGINS: Final = (BasicAuth, Authorization, OAuth2)
_HOLD_SECRETS: Final = frozenset({"endpoint_params", "http_headers", "proxy_connect_header"})
_CLOSE: Final = 0.83
"""How alike two keys are, from 0 to 1, for one to be meant by the other."""


def validate(model: type[_ModelT], document: Document, path: KeyPath = ()) -> _ModelT:
    """Return the model of the mapping at ``path``, without the keys that have a mistake in them.

    The document takes the mistakes; what has one is broken there.
    """
    try:
        return model.model_validate(document.value(path), context=document.folder)
    except ValidationError as error:
        details = _reported(error, model, document, path)
    for detail in details:
        is_mapping = detail["type"] == "model_type"
        document.reject((*path, *_steps(detail)), empty={} if is_mapping else None)
    return model.model_validate(document.value(path), context=document.folder)


def validate_value(adapter: TypeAdapter[_ValueT], document: Document, path: KeyPath) -> _ValueT | None:
    """Return the value at ``path`` as ``adapter`` makes it; None where it has a mistake."""
    try:
        return adapter.validate_python(document.value(path), context=document.folder)
    except ValidationError as error:
        _reported(error, None, document, path)
    return None


def kind_of(value: object) -> str:
    """Say what a value is, without showing it."""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "nothing")


def _reported(
    error: ValidationError,
    model: type[StrictModel] | None,
    document: Document,
    path: KeyPath,
) -> list[ErrorDetails]:
    """Report every mistake to the document, and return pydantic's details."""
    details = error.errors(include_url=False, include_input=False)
    problems = (_problem(detail, model, document, path) for detail in details)
    document.problems += [problem for problem in problems if problem is not None]
    return details


def _steps(detail: ErrorDetails) -> KeyPath:
    """Return the path to a mistake; pydantic marks the key of a dictionary itself by one step more."""
    steps = detail["loc"]
    return steps[:-1] if steps and steps[-1] == "[key]" else steps


def _problem(
    detail: ErrorDetails,
    model: type[StrictModel] | None,
    document: Document,
    above: KeyPath,
) -> Problem | None:
    steps = _steps(detail)
    path = (*above, *steps)
    value = document.value(path)
    if value is BROKEN:
        return None
    location = document.location(path)
    owner = _owner(model, steps)
    model = owner if isinstance(owner, type) and issubclass(owner, StrictModel) else None
    if value is None and steps and _may_be_of_a_secret(path):
        # The end of a secret with a comma in it, written without quotation marks, reads as a key beside it.
        message = "unknown key; is a space missing behind a colon, or quotation marks around a comma?"
        return replace(location, path=(*path[:-1], HIDDEN)).problem(message)
    if detail["type"] == "extra_forbidden" and model is not None:
        return location.problem(_unknown_key(str(steps[-1]), model))
    if value is None and model is not None and steps and steps[-1] in model.model_fields:
        return location.problem("the key has no value; leave it out to use the default")
    written = document.texts.get(path) if isinstance(value, str) else None
    return location.problem(_message(detail, value, written))


def _may_be_of_a_secret(path: KeyPath) -> bool:
    key = path[-1]
    if isinstance(key, int) or key in Settings.where_others_belong() or len(path) == 1:
        return False
    return path[-2] == "cleanup" or not _HOLD_SECRETS.isdisjoint(path[:-1])


def _message(detail: ErrorDetails, value: object, written: str | None) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            error = context["error"]
            quotes_variable = isinstance(error, BadValueError) and written is not None
            return error.quoting(written) if quotes_variable else str(error)
        case "too_short":
            return "must not be empty; leave the key out instead"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case kind:
            message = f"{_EXPECTED.get(kind, 'something else')} is expected, not {kind_of(value)}"
            is_quotable = kind == "string_type" and isinstance(value, (bool, int, float))
            return f"{message}; put quotation marks around it" if is_quotable else message


def _unknown_key(key: str, model: type[StrictModel]) -> str:
    if key in model.unsupported:
        return f"is not supported: {model.unsupported[key]}"
    if (where := model.where_others_belong().get(key)) is not None:
        return f"not allowed here; it belongs {where}"
    if ":" in key:
        return "unknown key; is a space missing behind the colon?"
    if (meant := _meant(key, model.model_fields)) is not None:
        return f"unknown key; did you mean {meant}?"
    if model in _LOGINS:
        return "unknown key; a secret with a comma in it needs quotation marks"
    return "unknown key"


def _meant(key: str, known: Collection[str]) -> str | None:
    """Return the known key that is spelled almost alike, or has a word more or less; None if there is none.

    A word that they share, such as ``config``, is not enough: a wrong hint is worse than none.
    """
    spelled = {name.replace("_", ""): name for name in known}
    close = get_close_matches(key.lower().replace("_", "").replace("-", ""), spelled, n=1, cutoff=_CLOSE)
    first, *_, last = f"{key}_{key}".split("_")
    alike = (
        *(name for name in known if name.startswith(f"{key}_")),
        *(spelled[one] for one in close),
        *(name for name in known if name.endswith(f"_{key}") and len(name) < 2 * len(key) - 1),
        *(
            name
            for name in known
            if name.startswith(f"{first}_")
            and name.endswith(f"_{last}")
            and 1 in {key.count("_"), name.count("_")}
        ),
        *(name for name in known if key.startswith(f"{name}_")),
    )
    return alike[0] if alike else None


def _owner(annotation: object, steps: KeyPath) -> object:
    """Return the type of the mapping or list in which the last of the steps is taken."""
    for step in steps[:-1]:
        if isinstance(annotation, type) and issubclass(annotation, StrictModel):
            field = annotation.model_fields.get(str(step))
            annotation = dict[str, str] if field is None else field.annotation
        else:
            annotation = get_args(annotation)[-1]
        while get_origin(annotation) in (Annotated, Union, UnionType):
            annotation = get_args(annotation)[0]
    return annotation
