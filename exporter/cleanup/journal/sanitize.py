"""Texts as both databases can keep them (pure)."""

from __future__ import annotations

import re

MAX_MESSAGE_CHARACTERS = 1000
MAX_CODE_CHARACTERS = 100
"""ONTAP's codes are numbers; a label should not be a novel."""

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def sanitize(text: str, *, max_characters: int | None = None) -> str:
    """Return the text with U+FFFD for NUL and lone surrogates, cut where it is too long."""
    return _NOT_STORABLE.sub("\ufffd", text[:max_characters])
