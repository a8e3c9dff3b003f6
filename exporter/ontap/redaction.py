"""Secrets in what somebody else wrote, found however JSON, HTML, a URL or ``repr`` writes them. No I/O.

Letters and digits stand for themselves in all of these; anything else may be escaped, in several ways.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html.entities import codepoint2name

REDACTED = "<secret>"
LONGEST_TEXT_CHARACTERS = 64 * 1024
"""Nobody is shown more; of a longer text, the rest is dropped unread."""

_LONGEST_ESCAPE_CHARACTERS = 24
_PLAIN = re.compile(r"[0-9A-Za-z]+")
_RUNS = re.compile(r"[0-9A-Za-z]+|\\+|[^\x00-\x7f]+|.", re.DOTALL)
_SHORT_ESCAPES = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_OTHER_SPELLINGS = {" ": r"\+", "+": "-", "/": "_"}  # in forms, and in the base64 of URLs
_BACKSLASHES = r"\\{0,3}+"


def redact(text: str, secrets: Collection[str]) -> str:
    """Return a text with every secret in it replaced, and cut where it is longer than anybody needs."""
    is_cut = len(text) > LONGEST_TEXT_CHARACTERS
    if is_cut:
        text = text[:LONGEST_TEXT_CHARACTERS]
    # Letters and digits are never escaped, so most texts are known to hold no secret at little cost.
    present = sorted((one for one in secrets if _longest_plain_part(one) in text), key=len, reverse=True)
    if present:
        text = re.sub("|".join(map(_pattern, present)), REDACTED, text)
    if is_cut:  # perhaps in the middle of a secret
        text = text[: -_LONGEST_ESCAPE_CHARACTERS * max(map(len, secrets), default=0) or None]
    return text


def _longest_plain_part(secret: str) -> str:
    return max(_PLAIN.findall(secret), key=len, default="")


def _pattern(secret: str) -> str:
    return "".join(map(_run_pattern, _RUNS.findall(secret)))


def _run_pattern(run: str) -> str:
    """Return what matches a run as :data:`_RUNS` finds them.

    No part can match the same text in two ways, so that no text makes the search slow.
    """
    if _PLAIN.fullmatch(run):
        return run
    each = "".join(map(_character_pattern, run))
    if run[0] == "\\":
        return rf"(?:{each}|\\{{{len(run)},{4 * len(run)}}}+)"
    if not run.isascii():  # what is left of it where the encoding was another one
        garbled = re.escape(run.encode("latin-1", "replace").decode("utf-8", "replace"))
        return rf"(?:{each}|{garbled}|\?{{{len(run)}}}|\ufffd{{1,{4 * len(run)}}}+)"
    return each


def _character_pattern(character: str) -> str:
    code = ord(character)
    octets = [f"{octet:02x}" for octet in character.encode("utf-8", "surrogatepass")]
    units = re.findall("....", character.encode("utf-16-be", "surrogatepass").hex())
    spellings = [table[character] for table in (_SHORT_ESCAPES, _OTHER_SPELLINGS) if character in table]
    if code in codepoint2name:
        spellings.append(f"&{codepoint2name[code]};")
    if not character.isascii():  # a server that knows no UTF-8
        spellings.append(re.escape(character.encode("utf-8", "surrogatepass").decode("latin-1")))
    spellings.append(re.escape(character))
    escapes = [
        _BACKSLASHES.join(f"u{unit}" for unit in units),  # JSON
        _BACKSLASHES.join(f"x{octet}" for octet in octets),  # repr of bytes
        f"x{code:02x}",  # repr of text
        f"U{code:08x}",
        "".join(rf"%(?:25){{0,2}}{octet}" for octet in octets),  # a URL, perhaps within another
        f"&#0{{0,4}}{code};",  # HTML
        f"&#x0{{0,4}}{code:x};",
    ]
    return rf"{_BACKSLASHES}(?:(?i:{'|'.join(escapes)})|{'|'.join(spellings)})"  # an escape's start is no end
