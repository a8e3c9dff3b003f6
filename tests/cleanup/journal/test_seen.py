"""Since when a package has been seen: without a gap, and always the same package."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from exporter.cleanup.journal import Journal
from exporter.cleanup.records import Lease
from exporter.ontap.requests.listing import Package
from support.journal.journal_steps import AMS, FRA, lease_of, opened

HOUR = 3600.0
DAY = 24 * HOUR
START = 1.6e9


class Boot:
    """The clock since boot, which nobody can set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def boot() -> Boot:
    return Boot()


@pytest.fixture
async def journal(url: str, boot: Boot) -> AsyncIterator[Journal]:
    async with opened(url, boot_clock=boot) as journal:
        yield journal


@pytest.fixture
async def ams(journal: Journal) -> Lease:
    return await lease_of(journal)


def packages(*versions: str, created: float | None = 1.0) -> list[Package]:
    return [Package(version=version, create_timestamp_seconds=created) for version in versions]


async def see(
    journal: Journal, lease: Lease, seen: list[Package], *, now: float, since_boot: float | None = None
) -> dict[str, float]:
    """Note a listing; unless the wall clock was set, it goes with the clock since boot."""
    boot = journal.leases.boot_clock
    assert isinstance(boot, Boot)
    boot.now = now if since_boot is None else since_boot
    assert await journal.seen.note({lease: seen}, now=now) == frozenset()
    return dict(await journal.seen.since(lease.cluster_uuid, now=now))


async def test_a_package_that_was_away_between_two_noted_listings_is_seen_from_now_on(
    journal: Journal, ams: Lease, boot: Boot
) -> None:
    await see(journal, ams, packages("9.1", "9.2"), now=START)
    boot.now += HOUR
    await journal.seen.note({ams: packages("9.1", "9.2")}, returned={AMS: {"9.2"}}, now=START + HOUR)
    assert await journal.seen.since(AMS, now=START + HOUR) == {"9.1": START, "9.2": START + HOUR}


async def test_a_package_keeps_the_time_when_it_was_first_seen(journal: Journal, ams: Lease) -> None:
    assert await see(journal, ams, packages("1"), now=START) == {"1": START}
    assert await see(journal, ams, packages("1", "2"), now=START + HOUR) == {"1": START, "2": START + HOUR}
    assert await see(journal, ams, packages("2", "1"), now=START + 2 * HOUR) == {
        "1": START,
        "2": START + HOUR,
    }


async def test_a_package_that_was_absent_starts_anew(journal: Journal, ams: Lease) -> None:
    await see(journal, ams, packages("1", "2"), now=START)
    assert await see(journal, ams, packages("2"), now=START + 1.0) == {"2": START}
    assert await see(journal, ams, packages("1", "2"), now=START + 2.0) == {"1": START + 2.0, "2": START}
    assert await see(journal, ams, [], now=START + 3.0) == {}


@pytest.mark.parametrize(("before", "after"), [(1.0, 1.5), (1.0, None), (None, 1.0)])
async def test_a_package_with_another_create_time_starts_anew(
    journal: Journal, ams: Lease, before: float | None, after: float | None
) -> None:
    await see(journal, ams, packages("1", created=before), now=START)
    assert await see(journal, ams, packages("1", created=before), now=START + 1.0) == {"1": START}
    assert await see(journal, ams, packages("1", created=after), now=START + 2.0) == {"1": START + 2.0}
    assert await see(journal, ams, packages("1", created=after), now=START + 3.0) == {"1": START + 2.0}


async def test_who_did_not_look_for_more_than_a_day_starts_anew(journal: Journal, ams: Lease) -> None:
    await see(journal, ams, packages("1"), now=START)
    assert await see(journal, ams, packages("1"), now=START + DAY) == {"1": START}
    later = START + 2 * DAY + 1.0
    assert await journal.seen.since(AMS, now=later) == {}
    assert await see(journal, ams, packages("1"), now=later) == {"1": later}


@pytest.mark.parametrize("jump", [3 * 365 * DAY, -3 * 365 * DAY, 2 * DAY])
async def test_a_clock_that_jumps_far_and_comes_back_never_makes_a_package_older(
    journal: Journal, ams: Lease, jump: float
) -> None:
    await see(journal, ams, packages("1"), now=START)
    assert await journal.seen.since(AMS, now=START + jump) == {}
    there = await see(journal, ams, packages("1"), now=START + jump, since_boot=START + 30.0)
    assert there == {"1": START + jump}
    back = await see(journal, ams, packages("1"), now=START + 60.0, since_boot=START + 60.0)
    assert back == {"1": START + 60.0}


@pytest.mark.parametrize("step", [23 * HOUR, -23 * HOUR, 60.0])
async def test_however_often_the_clock_is_set_a_package_was_seen_for_as_long_as_it_was(
    journal: Journal, ams: Lease, step: float
) -> None:
    await see(journal, ams, packages("1"), now=START)
    for count in range(1, 8):
        real = 600.0 * count
        now = START + real + step * count
        found = await see(journal, ams, packages("1", "2"), now=now, since_boot=START + real)
        assert now - found["1"] == pytest.approx(real, abs=1e-3)
        assert now - found["2"] == pytest.approx(real - 600.0, abs=1e-3)


@pytest.mark.parametrize("drift", [4.0, -4.0])
async def test_a_clock_that_goes_a_little_faster_or_slower_moves_nothing(
    journal: Journal, ams: Lease, drift: float
) -> None:
    await see(journal, ams, packages("1"), now=START)
    now = START + 600.0
    assert await see(journal, ams, packages("1"), now=now, since_boot=now + drift) == {"1": START}


async def test_a_process_that_did_not_note_the_last_listing_moves_nothing(
    postgresql_url: str, boot: Boot
) -> None:
    async with opened(postgresql_url, boot_clock=boot) as one:
        await see(one, await lease_of(one), packages("1"), now=START)
        async with opened(postgresql_url, boot_clock=boot) as two:
            await one.leases.release([AMS])
            elsewhere = await lease_of(two)
            assert await see(two, elsewhere, packages("1"), now=START + HOUR, since_boot=5.0) == {"1": START}
            await two.leases.release([AMS])
            again = await lease_of(one)
            assert await see(one, again, packages("1"), now=START + 2 * HOUR, since_boot=START) == {
                "1": START
            }


async def test_a_package_that_was_first_seen_in_the_future_starts_anew(url: str, boot: Boot) -> None:
    async with opened(url, boot_clock=boot) as journal:
        await see(journal, await lease_of(journal), packages("1"), now=START)
        await see(journal, await lease_of(journal), packages("1", "2"), now=START + HOUR)
    async with opened(url, boot_clock=boot) as journal:  # which does not know that the clock was set back
        found = await see(journal, await lease_of(journal), packages("1", "2"), now=START + 60.0)
        assert found == {"1": START, "2": START + 60.0}


async def test_listings_of_many_clusters_are_noted_together(journal: Journal) -> None:
    leases = await journal.leases.acquire([f"cluster {number}" for number in range(100)])
    listings = {lease: packages(*(f"9.{minor}.1" for minor in range(20))) for lease in leases.values()}
    for now in (START, START + 1.0):
        assert await journal.seen.note(listings, now=now) == frozenset()
    for uuid in ("cluster 0", "cluster 99"):
        assert set((await journal.seen.since(uuid, now=START)).values()) == {START}
        assert len(await journal.seen.since(uuid, now=START)) == 20


async def test_a_lost_lease_leaves_the_other_listings_as_they_are(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    await journal.leases.release([AMS])
    assert await journal.seen.note({ams: packages("1"), fra: packages("1")}, now=START) == {AMS}
    assert await journal.seen.since(AMS, now=START) == {}
    assert await journal.seen.since(FRA, now=START) == {"1": START}
    assert await journal.seen.note({}, now=START) == frozenset()


async def test_a_hostile_listing_is_remembered_up_to_a_bound(journal: Journal, ams: Lease) -> None:
    found = await see(journal, ams, packages(*(f"9.{minor}" for minor in range(3000))), now=START)
    assert len(found) == 1000
    assert await see(journal, ams, packages("1"), now=START) == {"1": START}


async def test_versions_that_no_database_can_hold_are_seen_too(journal: Journal, ams: Lease) -> None:
    odd = packages("9\0", "9\ufffd", "\ud800", "Ω")
    assert set(await see(journal, ams, odd, now=START)) == {"9\ufffd", "\ufffd", "Ω"}
    assert set((await see(journal, ams, odd, now=START + 1.0)).values()) == {START}


async def test_what_was_seen_is_there_after_a_restart_and_a_takeover(url: str) -> None:
    async with opened(url, boot_clock=Boot()) as journal:
        await see(journal, await lease_of(journal), packages("1"), now=START)
    async with opened(url, boot_clock=Boot()) as journal:
        assert await see(journal, await lease_of(journal), packages("1"), now=START + 1.0) == {"1": START}
