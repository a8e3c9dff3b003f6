"""Removes secrets from messages of a cluster, in every spelling in which it may echo them. No I/O."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

REDACTED = "<secret>"
LONGEST_TEXT_CHARACTERS = 64 * 1024
"""The rest of a longer text is dropped."""
SHORTEST_SECRET_CHARACTERS = 4
"""A shorter secret is not redacted: it would match anything."""


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the spellings of secrets, the longest first: as they are, in base64, in JSON, in a URL."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET_CHARACTERS:
            for form in (secret, *_in_base64(secret)):
                found.update((form, *_in_json(form), *_in_a_url(form)))
    return tuple(sorted(found, key=len, reverse=True))


def secrets_in(header: str, secret: str) -> tuple[str, ...]:
    """Return what must not be shown of a header that carries a login, and of the secret in it."""
    sent = header.partition(" ")[2]
    return (header, sent, sent.rstrip("="), secret)


def redact(text: str, spelled: Sequence[str]) -> str:
    """Return a text, cut if it is too long, with every secret in it replaced; see :func:`spellings`."""
    is_cut = len(text) > LONGEST_TEXT_CHARACTERS
    text = text[:LONGEST_TEXT_CHARACTERS]
    if present := [one for one in spelled if one in text]:
        text = re.sub("|".join(map(re.escape, present)), REDACTED, text)
    if is_cut and spelled:  # perhaps within a secret
        text = text[: -len(spelled[0])]
    return text


def _in_base64(secret: str) -> Iterator[str]:
    octets = secret.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(octets).decode()
        yield from (encoded, encoded.rstrip("="))


def _in_json(text: str) -> Iterator[str]:
    for only_ascii in (True, False):
        written = json.dumps(text, ensure_ascii=only_ascii)[1:-1]
        yield from (written, written.replace("/", r"\/"))
    yield re.sub(r"\\u[0-9a-f]{4}", lambda match: rf"\u{match[0][2:].upper()}", json.dumps(text)[1:-1])


def _in_a_url(text: str) -> Iterator[str]:
    for escape in (quote, quote_plus):
        written = escape(text, safe="", errors="surrogatepass")
        yield from (written, re.sub("%..", lambda match: match[0].lower(), written))
