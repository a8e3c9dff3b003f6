"""Every cluster is in exactly one shard, and few of them move when a shard is added."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.app.sharding import Shard, jump_hash, ordinal_from_pod, shard_of

TOTALS = st.integers(min_value=1, max_value=300)
FLEET = tuple(f"cluster-{number:05d}" for number in range(20_000))


@given(name=st.text(), total=TOTALS)
def test_a_cluster_is_in_exactly_one_shard(name: str, total: int) -> None:
    owners = [ordinal for ordinal in range(total) if Shard(ordinal=ordinal, total=total).owns(name)]
    assert owners == [shard_of(name, total)]


@given(name=st.text(), total=TOTALS)
def test_a_cluster_stays_where_it_is_or_moves_to_the_shard_that_was_added(name: str, total: int) -> None:
    assert shard_of(name, total + 1) in {shard_of(name, total), total}


@pytest.mark.parametrize("total", [1, 2, 3, 7, 16])
def test_about_one_in_n_plus_1_moves(total: int) -> None:
    moved = sum(shard_of(name, total) != shard_of(name, total + 1) for name in FLEET)
    assert moved / len(FLEET) == pytest.approx(1 / (total + 1), rel=0.1)


@pytest.mark.parametrize("total", [2, 3, 10])
def test_shards_are_of_about_the_same_size(total: int) -> None:
    sizes = Counter(shard_of(name, total) for name in FLEET)
    assert sorted(sizes) == list(range(total))
    assert min(sizes.values()) > 0.9 * len(FLEET) / total


@pytest.mark.parametrize(
    ("name", "total", "shard"),
    [("ams-prod-01", 1, 0), ("ams-prod-01", 4, 1), ("fra-prod-02", 4, 2), ("nyc-dr-1", 1000, 18)],
)
def test_the_share_never_changes_between_releases(name: str, total: int, shard: int) -> None:
    """Otherwise clusters would move to other shards, and so to other journals, at an upgrade."""
    assert shard_of(name, total) == shard


@pytest.mark.parametrize(
    ("key", "total", "number"), [(1, 1, 0), (42, 57, 43), (0xDEAD10CC, 666, 361), (256, 1024, 520)]
)
def test_the_hash_is_the_published_one(key: int, total: int, number: int) -> None:
    assert jump_hash(key, total) == number


@pytest.mark.parametrize(
    ("ordinal", "total", "why"),
    [
        (0, 0, "there is at least 1 shard, not 0"),
        (3, 3, "there is no shard 3 of 3: they go from 0 to 2"),
        (-1, 3, "there is no shard -1 of 3: they go from 0 to 2"),
    ],
)
def test_a_share_that_there_is_not_is_refused(ordinal: int, total: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Shard(ordinal=ordinal, total=total)


@pytest.mark.parametrize(
    ("environ", "hostname", "ordinal"),
    [
        ({"POD_NAME": "exporter-12"}, "elsewhere-3", 12),
        ({}, "ontap-packages-exporter-0", 0),
        ({"POD_NAME": ""}, "exporter-7", 7),
    ],
)
def test_the_ordinal_is_at_the_end_of_the_pods_name(
    environ: dict[str, str], hostname: str, ordinal: int
) -> None:
    assert ordinal_from_pod(environ, hostname=hostname) == ordinal


@pytest.mark.parametrize("name", ["exporter", "exporter-", "exporter-1a", "exporter7"])
def test_a_pod_without_an_ordinal_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="does not end in an ordinal"):
        ordinal_from_pod({}, hostname=name)
