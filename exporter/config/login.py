"""How a cluster is logged in to, out of its merged settings; and what a secret may be made of."""

from __future__ import annotations

import re
from typing import Final

from exporter.config.layers import DEFAULT_AUTHORIZATION_TYPE, Layer
from exporter.config.problems import Problem
from exporter.ontap.endpoint import BasicLogin, Login, Secret, TokenLogin

CONTROL_CHARACTERS: Final = re.compile("[\0-\x1f\x7f-\x9f]")
"""Not allowed in user names and passwords (RFC 7617, section 2)."""
_HEADER_VALUE: Final = re.compile("[\x20-\x7e]+")


def check_password(value: str) -> str:
    """Return a password that HTTP basic authentication can send.

    Raises:
        ValueError: it is none; the message holds nothing of it. Source: RFC 7617, section 2.
    """
    if not value:
        raise ValueError("a password must not be empty")
    if CONTROL_CHARACTERS.search(value):
        raise ValueError("a password cannot hold a line break or another control character (RFC 7617)")
    return value


def check_credentials(value: str) -> str:
    """Return credentials that an ``Authorization`` header can hold.

    Raises:
        ValueError: they are none; the message holds nothing of them. Source: RFC 9110, section 5.5.
    """
    if not value:
        raise ValueError("credentials must not be empty")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("credentials are one line of ASCII characters")
    return value


def login_of(layer: Layer) -> tuple[Login, list[Problem]]:
    """Return the login that the settings of a cluster describe, and what is missing from it."""
    if layer.broken & {"basic_auth", "authorization"}:
        return None, []
    if layer.has("basic_auth"):
        username = layer.text("basic_auth", "username")
        password, problems = _secret_of(layer, "basic_auth", "password")
        if username is None:
            problems.append(layer.place_of(("basic_auth",)).problem("username is missing"))
        return BasicLogin(username=username or "", password=password), problems
    if layer.has("authorization"):
        kind = layer.text("authorization", "type") or DEFAULT_AUTHORIZATION_TYPE
        credentials, problems = _secret_of(layer, "authorization", "credentials")
        return TokenLogin(type=kind, credentials=credentials), problems
    return None, []


def _secret_of(layer: Layer, mapping: str, key: str) -> tuple[Secret, list[Problem]]:
    secret = layer.secret(mapping, key)
    if secret is not None:
        return secret, []
    file = layer.file(mapping, f"{key}_file")
    if file is not None:
        return Secret(file=file), []
    return Secret(), [layer.place_of((mapping,)).problem(f"{key} or {key}_file is missing")]
