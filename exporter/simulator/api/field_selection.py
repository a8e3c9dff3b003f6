"""Field selection as ONTAP does it: `fields=version,nodes.name`, `fields=*`, `fields=**`.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/object_references_and_access.html
"""

from collections.abc import Collection, Iterable

from exporter.simulator.api.ontap_replies import invalid_value

EVERYTHING = frozenset({"*", "**"})


def parsed_fields(text: str | None, known: Collection[str]) -> tuple[str, ...] | None:
    """Read the `fields` parameter; None where it was not given.

    Args:
        text: The parameter's value.
        known: The names that the object has, nested ones with dots.

    Raises:
        RefusedError: A name is not known.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in EVERYTHING and name not in known:
            raise invalid_value("fields", name, "<field,...>")
    return names


def selected(record: object, fields: Iterable[str], *, keys: Iterable[str]) -> object:
    """The part of a record that was asked for; its keys and `_links` always come along.

    What is no JSON object is given whole.
    """
    if not isinstance(record, dict):
        return record
    wanted = [*keys, *fields]
    if EVERYTHING.intersection(wanted):
        return record
    return _part(record, [name.split(".") for name in wanted])


def _part(value: object, paths: list[list[str]]) -> object:
    if isinstance(value, list):
        return [_part(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    part: dict[str, object] = {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if not below:
            continue
        part[name] = inner if [] in below else _part(inner, below)
    return part
