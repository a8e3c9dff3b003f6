from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.reading.values import parse_address
from exporter.ontap.cluster_settings import Endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.20.0.5", Endpoint(host="10.20.0.5")),
        ("10.20.0.5:8443", Endpoint(host="10.20.0.5", port=8443)),
        ("https://ams-prod-01", Endpoint(host="ams-prod-01")),
        ("HTTPS://ams-prod-01.example.com.:65535", Endpoint(host="ams-prod-01.example.com.", port=65535)),
        ("http://ams", Endpoint(scheme="http", host="ams", port=80)),
        ("http://ams:443", Endpoint(scheme="http", host="ams", port=443)),
        ("[FD00:0::1]", Endpoint(host="fd00::1")),
        ("https://[fd00::1]:1", Endpoint(host="fd00::1", port=1)),
        ("under_score", Endpoint(host="under_score")),
    ],
)
def test_address_names_its_endpoint(text: str, endpoint: Endpoint) -> None:
    assert parse_address(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///",
        "ams/",
        "ams\\api",
        "//ams",
        ":443",
        "ams:",
        "ams:0",
        "ams:65536",
        "ams:+443",
        "ams:\uff14\uff14\uff13",
        "ams:443:443",
        "[fd00::1",
        "[fd00::1]443",
        "[fd00::1]:",
        "[10.20.0.5]",
        "[]",
        "fd00::1",
        "10.20.0",
        "10.20.0.256",
        "010.20.0.5",
        "ams..example",
        "-ams",
        "ams-",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "münchen",
        "ams prod",
        " ams",
        "ams\n",
        "ams?x",
        "ams#x",
        "ams%20",
        "ftp://ams",
    ],
)
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


@given(st.text(), st.text())
def test_text_before_an_at_sign_is_never_reported(before: str, after: str) -> None:
    secret = "s3cr3t-" + before
    with pytest.raises(ValueError, match="no user name or password") as caught:
        parse_address(f"https://monitor:{secret}@{after}")
    assert secret not in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        endpoint = parse_address(text)
    except ValueError:
        return
    assert parse_address(endpoint.origin) == endpoint
