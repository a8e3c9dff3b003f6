"""Whatever JSON a cluster answers, each question ends with a value or an :class:`OntapError`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from support.untrusted_input import check_answers

KEYS = [
    *("records", "num_records", "_links", "next", "self", "href", "error", "message", "code", "target"),
    *("version", "create_time", "full", "generation", "major", "minor", "name", "uuid", "nodes", "state"),
    *("pending_version", "description", "job", "jobs", "fields"),
]
WORDS = [
    *("", "9.14.1P2", "NetApp Release 9.14.1P2: Sun Mar 03 01:32:05 UTC 2024", "Release :", "Release x"),
    *(
        "2019-02-04T19:00:00+00:00",
        "2019-02-30T25:61:61Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01 00:00:00",
    ),
    *("success", "failure", "running", "completed", "in_progress", "not_started", "temporarily locked"),
    *(
        "job-1",
        "job-2",
        "../job",
        "/api/cluster/jobs/job-2",
        "/api/cluster/jobs/..",
        "/api/x?p=1",
        "/api/x?p=2",
    ),
    *(
        "https://10.20.0.5/api/x?p=3",
        "https://other/api",
        "//other",
        "DELETE package 9.14.1P2",
        "\ud800",
        "\0",
    ),
]
scalars = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**39, -(10**4000), 0, 4, 2**63]),
    st.floats(),
    st.text(st.characters(), max_size=8),
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


def shaped(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make objects of the right shape, in which some keys are missing or hold anything else."""
    return st.fixed_dictionaries({}, optional={key: value | anything for key, value in keys.items()})


words = st.sampled_from(WORDS)
links = shaped(next=shaped(href=words), self=shaped(href=words))
errors = st.none() | shaped(message=words, code=words | st.integers())
versions = words | shaped(full=words, generation=st.integers(), major=st.integers(), minor=st.integers())
records = shaped(
    version=versions,
    create_time=words,
    uuid=words,
    state=words,
    description=words,
    message=words,
    code=words,
    error=errors,
    _links=links,
)
answers = shaped(
    records=st.lists(records, max_size=4),
    num_records=st.integers(0, 2),
    _links=links,
    error=errors,
    name=words,
    uuid=words,
    version=versions,
    pending_version=versions,
    nodes=st.lists(records, max_size=3),
    state=words,
    job=records,
    jobs=st.lists(records, max_size=3),
)
statuses = st.sampled_from([200, 200, 200, 202, 204, 302, 400, 401, 404, 409, 429, 500, 503])


@given(documents=st.lists(answers | anything, min_size=1, max_size=3), status=statuses)
@example(documents=[{"records": []}], status=200)
def test_any_json_is_a_value_or_an_error_of_ours(documents: list[Any], status: int) -> None:
    check_answers([json.dumps(document).encode() for document in documents], status=status)


@given(document=answers | anything, data=st.data())
def test_any_json_with_damage_is_a_value_or_an_error_of_ours(document: Any, data: st.DataObject) -> None:
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    begin = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(begin, len(body)))
    damaged = body[:begin] + data.draw(st.binary(max_size=3)) + body[end:]
    check_answers([damaged])
