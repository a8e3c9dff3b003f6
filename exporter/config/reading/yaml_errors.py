"""The errors of PyYAML's parser in our words, without what they quote from the file."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from exporter.config.problems import HIDDEN, KeyPath

SAFE_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableError(Exception):
    """Nothing can be read from ``line`` on."""

    def __init__(self, message: str, *, line: int = 0, path: KeyPath = ()) -> None:
        super().__init__(message)
        self.line = line
        self.path = path


def parser_error(error: Exception, text: str) -> UnreadableError:
    """Say in one line what the parser says in many, without what it quotes from the file."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return UnreadableError("not YAML")
    lines = text.splitlines()
    line = min(mark.line + 1, max(len(lines), 1))
    said = ", ".join(part for part in (error.context, error.problem) if part)
    match (error.problem or "").split()[:3]:
        case ["nested", *_]:
            message = said
        case ["but", "found", "another"]:
            return UnreadableError("a second document in one file", line=line)
        case ["found", "undefined", "alias"]:
            message = "an alias (*) without an anchor (&); a value that begins with * needs quotation marks"
        case _:
            message = "not YAML: " + re.sub(r" '!.*?'", "", said)
            if error.context == "while scanning an alias":
                message += "; a value that begins with * needs quotation marks"
            near = lines[max(mark.line - 1, 0) : mark.line + 1]
            if any("${" in one and "{" in one.replace("${", "") for one in near):
                message += "; between { and }, ${NAME} stands in quotation marks"
    return UnreadableError(message, line=line, path=_path_before(text, mark.index))


def _path_before(text: str, index: int) -> KeyPath:
    """Return the path of the value that the parser reads at a character of ``text``, where it gives up."""
    steps: list[int | str | None] = []  # of each open collection: an index, a key, or None before a key
    are_keys: list[bool] = []
    try:
        for event in yaml.parse(text, Loader=SAFE_LOADER):
            if isinstance(event, yaml.CollectionEndEvent):
                steps.pop()
                is_key = are_keys.pop()
            elif isinstance(event, yaml.NodeEvent):
                if event.start_mark is None or event.start_mark.index >= index:
                    break
                is_key = bool(steps) and steps[-1] is None
                if is_key:
                    steps[-1] = event.value if isinstance(event, yaml.ScalarEvent) else HIDDEN
                if isinstance(event, yaml.CollectionStartEvent):
                    steps.append(0 if isinstance(event, yaml.SequenceStartEvent) else None)
                    are_keys.append(is_key)
                    continue
            else:
                continue
            if steps and not is_key:
                steps[-1] = steps[-1] + 1 if isinstance(steps[-1], int) else None
    except (yaml.YAMLError, ValueError, OverflowError):
        pass
    return tuple(step for step in steps if step is not None)
