"""Identity and versions, in the forms that different releases write."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pytest

from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import BadResponse
from exporter.ontap.requests.facts import (
    MAX_NODES,
    UNREADABLE,
    ClusterIdentity,
    SoftwareFacts,
    read_download_state,
    read_identity,
    read_node_versions,
    read_software,
)
from exporter.ontap.requests.listing import CollectionQuery
from exporter.ontap.requests.messages import Conversation, Response

T = TypeVar("T")
QUERY = CollectionQuery(endpoint=Endpoint(host="10.20.0.5"), return_timeout_seconds=15, max_records=500)
FULL = "NetApp Release 9.14.1P2: Sun Mar 03 01:32:05 UTC 2024"


def answered(conversation: Conversation[T], *documents: dict[str, Any]) -> T:
    """Answer each request in turn, and return the result."""
    next(conversation)
    for document in documents[:-1]:
        conversation.send(Response(status=200, body=json.dumps(document).encode()))
    with pytest.raises(StopIteration) as stop:
        conversation.send(Response(status=200, body=json.dumps(documents[-1]).encode()))
    value: T = stop.value.value
    return value


def test_the_identity_names_the_release() -> None:
    version = {"full": FULL, "generation": 9, "major": 14, "minor": 1}
    identity = answered(read_identity(), {"name": "c1", "uuid": "u", "version": version})
    assert identity == ClusterIdentity(name="c1", uuid="u", ontap_version="9.14.1P2")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ({"generation": 9, "major": 14, "minor": 1}, "9.14.1"),
        ({"full": "something else"}, "something else"),
        ({"generation": 9}, None),
        ("9.14.1", "9.14.1"),
        (None, None),
        ([], None),
    ],
)
def test_other_forms_of_a_version_are_read(version: object, expected: str | None) -> None:
    assert answered(read_identity(), {"version": version}).ontap_version == expected


@pytest.mark.parametrize(
    ("full", "release"),
    [
        ("NetApp Release Dayblazer__9.5.0: Fri Jun 01 10:00:00 UTC 2018", "Dayblazer__9.5.0"),
        ("NetApp Release 9.17.1P7D1", "9.17.1P7D1"),
        ("NetApp Release 8.2.3 7-Mode: Thu Jan 15 21:30:45 PST 2015", "8.2.3"),
        ("NetApp Release 9.9.1P9X3: Mon Jan 03 10:00:00 UTC 2022", "9.9.1P9X3"),
    ],
)
def test_a_release_is_found_in_what_any_release_writes(full: str, release: str) -> None:
    assert answered(read_identity(), {"version": {"full": full}}).ontap_version == release
    software = {"version": full, "pending_version": full, "nodes": [{"version": full}]}
    facts = answered(read_software(QUERY), software)
    assert (facts.version, facts.pending_version, facts.node_versions) == (release, release, (release,))


LONG = "9.1" * 2_000_000


def test_a_word_that_is_too_long_for_a_label_is_none() -> None:
    document = {"name": LONG, "uuid": LONG, "version": {"full": LONG}}
    assert answered(read_identity(), document) == ClusterIdentity(name=None, uuid=None, ontap_version=None)
    full = {"full": f"NetApp Release {LONG}"}
    assert answered(read_identity(), {"version": full}).ontap_version is None
    facts = answered(read_software(QUERY), {"version": LONG, "state": LONG, "nodes": [{"version": LONG}]})
    assert (facts.version, facts.node_versions, facts.update_state) == (None, None, UNREADABLE)
    assert answered(read_download_state(), {"state": LONG}) == UNREADABLE
    with pytest.raises(BadResponse, match="names no version"):
        answered(read_software(QUERY), {"version": "9.7", "pending_version": LONG})


def test_more_nodes_than_any_cluster_has_are_not_all_known() -> None:
    nodes = [{"version": f"9.{number}.1"} for number in range(MAX_NODES + 1)]
    documents = ({"version": "9.7", "nodes": nodes}, {"records": nodes})
    assert answered(read_software(QUERY), *documents).node_versions is None
    document = {"version": "9.7", "nodes": nodes[1:]}
    assert len(answered(read_software(QUERY), document).node_versions or ()) == MAX_NODES


def test_an_empty_identity_is_all_unknown() -> None:
    assert answered(read_identity(), {}) == ClusterIdentity(name=None, uuid=None, ontap_version=None)


def test_software_names_the_cluster_the_pending_update_and_every_node() -> None:
    document = {
        "version": "9.5.0",
        "pending_version": "9.6.0",
        "state": "in_progress",
        "nodes": [{"name": "node1", "version": "9.5.0"}, {"node": "node2", "version": "9.4.0"}],
    }
    assert answered(read_software(QUERY), document) == SoftwareFacts(
        version="9.5.0", pending_version="9.6.0", node_versions=("9.5.0", "9.4.0"), update_state="in_progress"
    )


@pytest.mark.parametrize(
    "nodes",
    [None, [], {}, [{"name": "node1"}], [{"version": "9.5.0"}, {"version": None}], ["node1"], "9.5.0"],
)
def test_the_nodes_are_read_if_a_node_has_no_version(nodes: object) -> None:
    software = {"version": "9.5.0", "nodes": nodes}
    records = {"records": [{"version": {"full": FULL}}, {"version": {"full": FULL}}]}
    assert answered(read_software(QUERY), software, records).node_versions == ("9.14.1P2", "9.14.1P2")


@pytest.mark.parametrize("records", [None, [], [{"name": "node1"}], [{"version": {}}]])
def test_a_node_without_a_version_leaves_all_node_versions_unknown(records: object) -> None:
    assert answered(read_software(QUERY), {"version": "9.5.0"}, {"records": records}).node_versions is None


@pytest.mark.parametrize("document", [{}, {"_links": {"self": {"href": "/api/cluster/software"}}}])
def test_an_empty_software_document_is_all_unknown(document: dict[str, Any]) -> None:
    assert answered(read_software(QUERY), document) == SoftwareFacts(
        version=None, pending_version=None, node_versions=None, update_state=None
    )


def test_more_nodes_than_one_page_are_not_all_known() -> None:
    document = {
        "records": [{"version": {"full": FULL}}],
        "_links": {"next": {"href": "/api/cluster/nodes?a"}},
    }
    assert answered(read_software(QUERY), {"version": "9.5.0"}, document).node_versions is None


@pytest.mark.parametrize(("elapsed_seconds", "found"), [(0.1, ()), (4.4, ()), (4.6, None), (5.0, None)])
def test_an_empty_list_of_nodes_says_nothing_once_return_timeout_is_over(
    elapsed_seconds: float, found: tuple[str, ...] | None
) -> None:
    conversation = read_node_versions(QUERY)
    assert next(conversation).target.endswith("return_timeout=5")
    body = json.dumps({"records": [], "num_records": 0}).encode()
    with pytest.raises(StopIteration) as stop:
        conversation.send(Response(status=200, body=body, elapsed_seconds=elapsed_seconds))
    assert stop.value.value == found
