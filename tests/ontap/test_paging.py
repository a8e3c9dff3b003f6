"""Whatever a next link says, the next request goes to the same cluster, or there is none."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import BadResponse, IncompleteListing
from exporter.ontap.requests.paging import next_target
from support.untrusted_input import sent_to

ENDPOINTS = [
    Endpoint(host="10.20.0.5"),
    Endpoint(host="C1.example", port=8443),
    Endpoint(host="c1.example", scheme="http", port=80),
    Endpoint(host="fd00::1"),
]
SCHEMES = ["", "https:", "http:", "HTTPS:", "ftp:", "javascript:", "https", ":", "%68ttps:", "h\tttps:"]
SLASHES = ["", "/", "//", "///", "\\\\", "/\\", "/\t/", "%2f%2f"]
USERS = ["", "@", "monitor@", "monitor:secret@", "10.20.0.5@", "c1.example:8443@", "%40", "other\\@"]
HOSTS = [
    *("", "other", "10.20.0.5", "10.20.0.5.", "10.20.0.5.other", "10.20.0.5%2eother", "0xa140005"),
    *("10.20.0.5\tother", "10.20.0.5\\other", "1\uff10.20.0.5", "c1.example", "C1.EXAMPLE", "c1.example."),
    *("c1\u3002example", ".", "[fd00::1]", "[FD00:0::1]", "[fd00::1%25eth0]", "[fd00::1", "[other]"),
]
PORTS = [
    *("", ":", ":443", ":0443", ":8443", ":80", ":99999", ":-1", ":x", ":443:443", ":\uff14", ": 443"),
]
PATHS = ["", "/", "//other", "///other", "/.", "/..//other", "/api/x", "/\\other", "/%2e%2e/", "/@other", "x"]
ENDS = ["", "?", "?a=%2A", "?@other", "?//other", "#other", "%", "%0d%0a", "\r\nHost: other", " ", "\0", ";x"]
PARTS = [SCHEMES, SLASHES, USERS, HOSTS, PORTS, PATHS, ENDS]


@st.composite
def links(draw: st.DrawFn, endpoint: Endpoint) -> str:
    """Make a link to the cluster itself, with up to two of its parts replaced by something else."""
    scheme, slashes, rest = endpoint.origin.partition("//")
    host, colon, port = rest.rpartition(":")
    parts = [scheme, slashes, "", host, colon + port, "/api/x", "?a=%2A"]
    for number in draw(st.sets(st.integers(0, len(parts) - 1), max_size=2)):
        parts[number] = draw(st.sampled_from(PARTS[number]))
    return "".join(parts)


@given(endpoint=st.sampled_from(ENDPOINTS), data=st.data())
def test_any_next_link_is_a_path_on_the_cluster_or_an_error(endpoint: Endpoint, data: st.DataObject) -> None:
    href = data.draw(links(endpoint) | st.text())
    try:
        target = next_target({"_links": {"next": {"href": href}}}, endpoint)
    except (BadResponse, IncompleteListing):
        return
    assert target is not None
    assert href.endswith(target)
    assert not target.startswith("//")
    sent_to(target, endpoint)
    # A reader that resolves links by the book means the same cluster.
    meant = urlsplit(urljoin(f"{endpoint.origin}/", href))
    port = meant.port or {"https": 443, "http": 80}[meant.scheme]
    assert (meant.scheme, meant.hostname, port) == (endpoint.scheme, endpoint.host.lower(), endpoint.port)
    assert "@" not in meant.netloc


@given(
    endpoint=st.sampled_from(ENDPOINTS),
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\#"), min_size=1),
)
def test_any_path_on_the_cluster_is_followed_as_it_is(endpoint: Endpoint, path: str) -> None:
    target = f"/{path.lstrip('/')}"
    for href in (target, endpoint.origin + target, endpoint.origin.upper() + target):
        assert next_target({"_links": {"next": {"href": href}}}, endpoint) == target
    assert sent_to(target, endpoint).raw_path_qs.rstrip("?") == target.rstrip("?")
