"""What commands write for a person: in colour on a terminal, as plain lines into a pipe or a file.

Colour is only on a terminal, and not if ``NO_COLOR`` is set. Control characters are always written as text:
clusters, files and servers say parts of the lines, and must not be able to move the cursor of a terminal.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from exporter import PROGRAM

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.config import Problem

Part = str | tuple[str, str]
"""A piece of a line; with a style of rich, such as ``bold red``, in second place."""


def prepare_streams() -> None:
    """Let standard output take every character, whatever the locale, and let closed streams take anything."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return a text with control characters and other invisible ones but ``keep`` written as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape", "replace").decode()
        for one in text
    )


def counted(count: int, noun: str) -> str:
    """Return ``1 cluster`` or ``2 clusters``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word, with the most similar known one; "" without one."""
    spelled = {one.lower(): one for one in known}
    near = get_close_matches(word.lower(), spelled, n=1)
    return f": did you mean {spelled[near[0]]!r}?" if near else ""


def has_colour(stream: TextIO) -> bool:
    """Say whether colours may be written to a stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not _is_dumb()


def console(stream: TextIO) -> Console:
    """Return rich's console for a stream; it takes no markup from texts."""
    from rich.console import Console  # noqa: PLC0415 - only terminals need it

    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        color_system="auto" if has_colour(stream) else None,
        markup=False,
        highlight=False,
        emoji=False,
    )


def write(*parts: Part, to: TextIO | None = None) -> None:
    """Write one line (default: to standard output); a terminal folds a long one, so that it stays whole."""
    stream = to or sys.stdout
    pieces = [(part, "") if isinstance(part, str) else part for part in parts]
    safe = [(escaped(text), style) for text, style in pieces]
    if has_colour(stream):
        from rich.text import Text  # noqa: PLC0415 - only terminals need it

        console(stream).print(Text.assemble(*safe), soft_wrap=True)
    else:
        stream.write("".join(text for text, _ in safe) + "\n")


def error(message: str, *, hints: Iterable[str] = ()) -> None:
    """Write why a command fails, on one line of standard error, and below it what to do."""
    line = re.sub(r"\s*\n\s*", " ", message)
    write((f"{PROGRAM}: ", "bold"), ("error: ", "bold red"), line, to=sys.stderr)
    for one in hints:
        hint(one)


def failure(exc: Exception) -> None:
    """Write the message of an OSError or a missing library, without the error's number."""
    file, why = getattr(exc, "filename", None), getattr(exc, "strerror", None)
    error(f"{file}: {why}" if file and why else str(why or exc))


def hint(message: str) -> None:
    """Write what to do, on one line of standard error."""
    write(("hint: ", "cyan"), message, to=sys.stderr)


def warn(message: str, *, to: TextIO | None = None) -> None:
    """Write what is allowed but probably a mistake, on one line (default: of standard error)."""
    write(("warning: ", "yellow"), message, to=to or sys.stderr)


def write_facts(heading: str, facts: Mapping[str, str]) -> None:
    """Write a heading and, aligned below it, a line for each word and what belongs to it; at once.

    Empty lines set it off from the log.
    """
    width = max(map(len, facts)) + 2
    write()
    write((heading, "bold"))
    for word, text in facts.items():
        for number, line in enumerate(text.split("\n")):
            write((f"  {'' if number else word:<{width}}", "cyan"), line)
    write()
    sys.stdout.flush()


def write_problems(problems: Collection[Problem]) -> None:
    """Write every mistake of a configuration on one line of standard error, and how many there are."""
    for problem in problems:
        source, *rest = (part for part in problem.logged().values() if part)
        write((source, "cyan"), ": ", ": ".join(rest), to=sys.stderr)
    files = {problem.file for problem in problems}
    where = files.pop() if len(files) == 1 else f"{len(files)} files"
    error(f"{counted(len(problems), 'error')} in {where}")


@contextmanager
def progress(what: str, *, total: int) -> Iterator[Callable[[], None]]:
    """Show on standard error how far something is, if that is a terminal and there are several steps.

    Yields what is called after each step.
    """
    if total < 2 or not sys.stderr.isatty() or _is_dumb():  # noqa: PLR2004 - one step has no progress
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - likewise

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _is_dumb() -> bool:
    return os.environ.get("TERM", "").lower() in {"", "dumb", "unknown"}
