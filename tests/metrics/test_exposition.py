"""What is exposed equals what prometheus_client writes for the same samples, whatever the labels hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES
from exporter.metrics.exposition import Exposition, in_chunks, render_once
from exporter.metrics.family import Kind
from exporter.metrics.text import Format, ages, number
from exporter.ontap.errors import Reason
from exporter.ontap.requests.facts import ClusterIdentity, SoftwareFacts
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.polling.board import ClusterStatus, Poll, PollFailure
from support import stub_sources
from support.exposed import text_of

NOW = 1_800_000_000.25
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
OWN_LABELS = {"cluster", *(label for family in CLUSTER_FAMILIES for label in family.labels)}
LABEL_NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: not name.startswith("__") and name not in OWN_LABELS
)
TIMES = st.floats(1e9, 2e9)


@st.composite
def statuses(draw: st.DrawFn) -> ClusterStatus:
    packages = draw(
        st.dictionaries(TEXTS.filter(bool), st.one_of(st.none(), TIMES), max_size=5).map(
            lambda found: tuple(
                Package(version=version, create_timestamp_seconds=created)
                for version, created in sorted(found.items())
            )
        )
    )
    inventory = Inventory(
        listing=Listing(packages=packages, unnamed=draw(st.integers(0, 3)), pages=draw(st.integers(1, 9))),
        identity=draw(
            st.one_of(
                st.none(), st.builds(ClusterIdentity, name=TEXTS, uuid=TEXTS, ontap_version=st.none() | TEXTS)
            )
        ),
        versions_in_use=draw(st.one_of(st.none(), st.frozensets(TEXTS, max_size=3))),
        software=draw(
            st.none()
            | st.builds(
                SoftwareFacts,
                version=st.none() | TEXTS,
                pending_version=st.none() | TEXTS,
                node_versions=st.none(),
                update_state=st.none() | TEXTS,
            )
        ),
        download_state=draw(st.none() | st.sampled_from(["running", "success", "?"])),
    )
    status = ClusterStatus(
        name=draw(TEXTS),
        address="https://10.20.0.5:443",
        labels=tuple(sorted(draw(st.dictionaries(LABEL_NAMES, TEXTS, max_size=3)).items())),
        stale_after_seconds=draw(st.floats(1, 1e6)),
    )
    if draw(st.booleans()):
        ended = draw(st.floats(NOW - 1e6, NOW))
        status = status.after_success(
            Poll(
                ended_timestamp_seconds=ended,
                duration_seconds=draw(st.floats(0, 60)),
                failure=None,
                clock_skew_seconds=draw(st.none() | st.floats(-1e6, 1e6)),
                certificate_expiry_timestamp_seconds=draw(st.none() | TIMES),
            ),
            inventory,
        )
    if draw(st.booleans()):
        failure = PollFailure(reason=draw(st.sampled_from(Reason)), message="")
        status = status.after_failure(
            Poll(ended_timestamp_seconds=NOW, duration_seconds=1.5, failure=failure), failure
        )
    return status


FLEETS = st.lists(statuses(), max_size=3, unique_by=lambda status: status.name)


class Reference:
    """The same samples, for prometheus_client to write."""

    def __init__(self, fleet: Iterable[ClusterStatus]) -> None:
        self._fleet = tuple(fleet)

    def collect(self) -> Iterator[Metric]:
        for family in CLUSTER_FAMILIES:
            make = GaugeMetricFamily if family.kind is Kind.GAUGE else CounterMetricFamily
            metric = make(family.name, family.help)
            if metric.name.endswith("_seconds"):
                metric.unit = "seconds"
            for status in self._fleet:
                if family.while_fresh and status.fresh_inventory(NOW) is None:
                    continue
                for own, value in family.samples(status):
                    labels = {"cluster": status.name, **dict(status.labels)}
                    labels |= dict(zip(family.labels, own, strict=True))
                    shown = age_seconds(value) if family.is_age else value
                    metric.add_sample(family.name, labels, shown)
            yield metric


def age_seconds(created: float) -> float:
    """Return an age at the moment of the scrape, to the millisecond."""
    return max((round(NOW * 1000) - round(created * 1000)) / 1000, 0.0)


def exposed(fleet: Iterable[ClusterStatus], form: Format, names: Iterable[str] = ()) -> str:
    exposition = Exposition(CLUSTER_FAMILIES)
    for status in fleet:
        update_cluster(exposition, status)
    return text_of(exposition.all(), form=form, now=NOW, names=tuple(names))


@given(FLEETS)
def test_the_text_format_equals_the_reference(fleet: list[ClusterStatus]) -> None:
    registry = CollectorRegistry()
    registry.register(Reference(fleet))
    assert exposed(fleet, Format.TEXT) == generate_latest(registry).decode()


@given(FLEETS)
def test_openmetrics_equals_the_reference(fleet: list[ClusterStatus]) -> None:
    registry = CollectorRegistry()
    registry.register(Reference(fleet))
    ours = exposed(fleet, Format.OPENMETRICS) + "# EOF\n"
    assert ours == generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]


def good_status(**changes: object) -> ClusterStatus:
    packages = (
        Package(version="9.13.1", create_timestamp_seconds=NOW - 100),
        Package(version="9.14.1", create_timestamp_seconds=NOW + 100),
        Package(version="9.15.1", create_timestamp_seconds=None),
    )
    inventory = Inventory(
        listing=Listing(packages=packages, unnamed=0, pages=2),
        identity=None,
        versions_in_use=frozenset({"9.14.1"}),
        software=SoftwareFacts(
            version="9.14.1", pending_version=None, node_versions=("9.14.1",), update_state=None
        ),
        download_state="success",
    )
    values: dict[str, object] = {
        "name": "c1",
        "address": "https://c1:443",
        "labels": (("site", "ams"),),
        "stale_after_seconds": 900.0,
        **changes,
    }
    poll = Poll(ended_timestamp_seconds=NOW - 10, duration_seconds=0.5, failure=None)
    return ClusterStatus(**values).after_success(poll, inventory)  # type: ignore[arg-type]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


C1 = (("cluster", "c1"), ("site", "ams"))


@st.composite
def histories(draw: st.DrawFn) -> list[ClusterStatus]:
    """The history of one cluster: good and failed polls, with the same packages or others."""
    seen = draw(statuses())
    history = [seen]
    for _ in range(draw(st.integers(0, 4))):
        other = draw(statuses()).inventory
        ended = draw(st.floats(NOW - 1e6, NOW))
        poll = Poll(ended_timestamp_seconds=ended, duration_seconds=draw(st.floats(0, 60)), failure=None)
        found = draw(st.sampled_from([seen.inventory, other, None]))
        if found is None:
            failure = PollFailure(reason=draw(st.sampled_from(Reason)), message="")
            seen = seen.after_failure(poll, failure)
        else:
            use = draw(st.sampled_from([found.versions_in_use, None, frozenset({"9.1"})]))
            seen = seen.after_success(poll, replace(found, versions_in_use=use))
        history.append(seen)
    return history


@given(histories())
def test_the_exposition_depends_only_on_the_newest_status(
    history: list[ClusterStatus],
) -> None:
    exposition = Exposition(CLUSTER_FAMILIES)
    for status in history:
        update_cluster(exposition, status)
    assert text_of(exposition.all(), now=NOW) == exposed(history[-1:], Format.TEXT)


@given(histories(), st.dictionaries(LABEL_NAMES, TEXTS, max_size=2))
def test_other_labels_are_on_every_line_at_once(history: list[ClusterStatus], labels: dict[str, str]) -> None:
    exposition = Exposition(CLUSTER_FAMILIES)
    update_cluster(exposition, history[-1])
    renamed = replace(history[-1], labels=tuple(sorted(labels.items())))
    update_cluster(exposition, renamed)
    assert text_of(exposition.all(), now=NOW) == exposed([renamed], Format.TEXT)


def test_the_lines_of_equal_packages_are_not_rendered_again() -> None:
    listing = Listing(
        packages=(Package(version="9.1", create_timestamp_seconds=NOW - 60),), unnamed=0, pages=1
    )
    inventory = Inventory(listing=listing, identity=None, versions_in_use=frozenset())
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=1.5, failure=None)
    status = ClusterStatus(
        name="c", address="https://10.20.0.5:443", labels=(), stale_after_seconds=60
    ).after_success(poll, inventory)
    exposition = Exposition(CLUSTER_FAMILIES)
    update_cluster(exposition, status)
    (before,) = exposition.all().values
    equal = replace(inventory, listing=replace(listing, packages=tuple(map(replace, listing.packages))))
    update_cluster(exposition, status.after_success(poll, equal))
    (after,) = exposition.all().values
    kept = {
        family.name
        for family, old, new in zip(CLUSTER_FAMILIES, before.blocks, after.blocks, strict=True)
        if old is new and old != b""
    }
    assert kept == {
        "ontap_software_package_info",
        "ontap_software_package_create_timestamp_seconds",
        "ontap_software_package_age_seconds",
        "ontap_software_package_in_use",
        "ontap_poll_failures_total",
    }


MILLISECONDS = st.integers(0, 4 * 10**12) | st.integers(0, 4 * 10**9).map(lambda seconds: seconds * 1000)


@given(MILLISECONDS, MILLISECONDS)
def test_ages_are_written_as_the_reference_writes_them(now: int, since: int) -> None:
    assert list(ages([since], now)) == [number(max((now - since) / 1000, 0.0))]


@given(st.lists(st.binary(max_size=9)), st.integers(1, 20))
def test_chunks_hold_the_blocks_in_their_order(blocks: list[bytes], size: int) -> None:
    chunks = list(in_chunks(blocks, at_least_bytes=size))
    assert b"".join(chunks) == b"".join(blocks)
    assert all(size <= len(chunk) < size + 9 for chunk in chunks[:-1])


def test_ages_count_to_the_scrape_and_are_never_negative() -> None:
    found = samples(exposed([good_status()], Format.TEXT))
    name = "ontap_software_package_age_seconds"
    assert found[name, (*C1, ("version", "9.13.1"))] == 100
    assert found[name, (*C1, ("version", "9.14.1"))] == 0
    assert (name, (*C1, ("version", "9.15.1"))) not in found


def test_an_unknown_use_is_absent_and_a_known_one_is_0_or_1() -> None:
    found = samples(exposed([good_status()], Format.TEXT))
    name = "ontap_software_package_in_use"
    assert {key[1][-1][1]: value for key, value in found.items() if key[0] == name} == {
        "9.13.1": 0,
        "9.14.1": 1,
        "9.15.1": 0,
    }


def test_an_empty_repository_is_an_explicit_0() -> None:
    empty = Inventory(
        listing=Listing(packages=(), unnamed=0, pages=1), identity=None, versions_in_use=frozenset()
    )
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=0.5, failure=None)
    found = samples(exposed([good_status().after_success(poll, empty)], Format.TEXT))
    assert found["ontap_software_packages", C1] == 0
    assert not [key for key in found if key[0].startswith("ontap_software_package_")]


def test_before_the_first_poll_nothing_is_claimed() -> None:
    status = ClusterStatus(name="c1", address="", labels=(), stale_after_seconds=900)
    found = samples(exposed([status], Format.TEXT))
    labels = (("cluster", "c1"),)
    assert found.pop(("ontap_up", labels)) == 0
    assert found.pop(("ontap_polls_total", labels)) == 0
    assert found.pop(("ontap_last_successful_poll_timestamp_seconds", labels)) == 0
    assert found == {
        ("ontap_poll_failures_total", (*labels, ("reason", str(reason)))): 0 for reason in Reason
    }


def test_a_stale_inventory_loses_its_packages_and_keeps_the_rest() -> None:
    fresh = samples(exposed([good_status(stale_after_seconds=10)], Format.TEXT))
    stale = samples(exposed([good_status(stale_after_seconds=9.9)], Format.TEXT))
    gone = {name for name, _ in fresh} - {name for name, _ in stale}
    assert gone == {family.name for family in CLUSTER_FAMILIES if family.while_fresh}


def test_a_failed_poll_keeps_the_last_good_listing() -> None:
    failure = PollFailure(reason=Reason.TIMEOUT, message="")
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=60, failure=failure)
    found = samples(exposed([good_status().after_failure(poll, failure)], Format.TEXT))
    assert found["ontap_up", C1] == 0
    assert found["ontap_software_packages", C1] == 3
    assert found["ontap_poll_failures_total", (*C1[:1], ("reason", "timeout"), *C1[1:])] == 1
    assert found["ontap_last_successful_poll_timestamp_seconds", C1] == NOW - 10


@given(version=st.text(min_size=1), label=st.text())
def test_any_text_in_a_label_is_valid_utf8(version: str, label: str) -> None:
    inventory = Inventory(
        listing=Listing(
            packages=(Package(version=version, create_timestamp_seconds=1.0),), unnamed=0, pages=1
        ),
        identity=None,
        versions_in_use=None,
    )
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=0.5, failure=None)
    status = good_status(labels=(("site", label),)).after_success(poll, inventory)
    lines = exposed([status], Format.TEXT).split("\n")
    assert all(line.startswith(("# ", "ontap_")) for line in lines[:-1])


def test_versions_are_exposed_with_their_train_and_a_key_that_sorts_as_releases_do() -> None:
    releases = ["9.8", "9.13.1RC1", "9.13.1", "9.13.1P8", "9.13.1P10", "9.14.1", "10.1.1"]
    packages = tuple(Package(version=one, create_timestamp_seconds=None) for one in [*releases, "nightly"])
    inventory = Inventory(
        listing=Listing(packages=packages, unnamed=0, pages=1), identity=None, versions_in_use=None
    )
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=0.5, failure=None)
    found = samples(exposed([good_status().after_success(poll, inventory)], Format.TEXT))
    labels = [dict(key[1]) for key in found if key[0] == "ontap_software_package_info"]
    by_key = sorted(labels, key=lambda one: one["sort_key"])
    assert [one["version"] for one in by_key] == ["nightly", *releases]
    assert [one["train"] for one in by_key] == ["", "9.8", *["9.13"] * 4, "9.14", "10.1"]


def software(**stated: str | None) -> ClusterStatus:
    unstated: dict[str, str | None] = {"version": None, "pending_version": None, "update_state": None}
    facts = SoftwareFacts(node_versions=None, **{**unstated, **stated})
    status = good_status()
    assert status.inventory is not None
    assert status.last_poll is not None
    return status.after_success(status.last_poll, replace(status.inventory, software=facts))


@pytest.mark.parametrize(
    ("state", "value"),
    [(None, 0), ("completed", 0), ("failed", 0), ("canceled", 0), ("in_progress", 1), ("a_new_word", 1)],
)
def test_an_update_is_in_progress_until_a_word_says_that_it_has_ended(state: str | None, value: int) -> None:
    found = samples(exposed([software(version="9.14.1", update_state=state)], Format.TEXT))
    assert found["ontap_software_update_in_progress", C1] == value
    (info,) = [dict(key[1]) for key in found if key[0] == "ontap_software_update_info"]
    assert (info["state"], info["version"], info["pending_version"]) == (state or "", "9.14.1", "")


def test_of_an_update_about_which_the_cluster_says_nothing_nothing_is_claimed() -> None:
    found = samples(exposed([software()], Format.TEXT))
    assert not [name for name, _ in found if name.startswith("ontap_software_update")]


def test_the_reason_of_the_last_poll_is_exposed_while_it_is_the_last() -> None:
    failure = PollFailure(reason=Reason.TIMEOUT, message="")
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=60, failure=failure)
    down = good_status().after_failure(poll, failure)
    exposition = Exposition(CLUSTER_FAMILIES)

    def reasons(status: ClusterStatus) -> list[str]:
        update_cluster(exposition, status)
        found = samples(text_of(exposition.all(), now=NOW))
        return [dict(key[1])["reason"] for key in found if key[0] == "ontap_poll_failing"]

    assert reasons(good_status()) == []
    assert reasons(down) == ["timeout"]
    other = PollFailure(reason=Reason.TLS, message="")
    assert reasons(down.after_failure(replace(poll, failure=other), other)) == ["tls"]
    assert reasons(good_status()) == []


def test_names_select_families_in_either_spelling() -> None:
    for names in (["ontap_polls_total"], ["ontap_polls"]):
        for form in Format:
            body = exposed([good_status()], form, names)
            assert [line for line in body.split("\n") if line and not line.startswith("#")] == [
                'ontap_polls_total{cluster="c1",site="ams"} 1.0'
            ]


STATE = replace(stub_sources.STATE, requests={("GET", "200"): 5, ("GET", "error"): 1})


def test_the_exporters_own_metrics_are_exposed_in_both_formats() -> None:
    table = render_once(EXPORTER_FAMILIES, STATE)
    text = text_of(table)
    found = samples(text)
    assert found["ontap_exporter_api_requests_total", (("code", "200"), ("method", "GET"))] == 5
    assert found["ontap_exporter_clusters", ()] == 3
    openmetrics = text_of(table, form=Format.OPENMETRICS)
    families = list(parse_openmetrics(openmetrics + "# EOF\n"))  # type: ignore[no-untyped-call]
    assert len(families) == len(EXPORTER_FAMILIES)


@pytest.mark.parametrize("family", [*CLUSTER_FAMILIES, *EXPORTER_FAMILIES], ids=lambda family: family.name)
def test_every_row_keeps_to_the_naming_rules(family: object) -> None:
    name, kind = getattr(family, "name"), getattr(family, "kind")  # noqa: B009 - rows of two types
    labels, text = getattr(family, "labels"), getattr(family, "help")  # noqa: B009
    assert name.startswith("ontap_")
    assert name.endswith("_total") == (kind is Kind.COUNTER) or name == "ontap_exporter_total_shards"
    assert list(labels) == sorted(labels)
    assert text.endswith(".")
    assert not set(text) & set('\\"\n')
