"""What was listed once counts as listed only for as long as polls say so."""

from __future__ import annotations

from exporter.cleanup.cleaners.known_clusters import NOTED_EVERY_SECONDS, PolledListings
from exporter.ontap.requests.listing import Package

UUID = "aaaa"
PACKAGES = (Package(version="9.12.1", create_timestamp_seconds=None),)


def test_a_listing_is_noted_again_only_while_polls_confirm_it() -> None:
    listings = PolledListings()
    listings.put(UUID, PACKAGES, valid_until=NOTED_EVERY_SECONDS + 100)
    assert listings.due({UUID}, now=0.0) == {UUID: PACKAGES}
    listings.noted({UUID: PACKAGES}, now=0.0)
    assert listings.due({UUID}, now=NOTED_EVERY_SECONDS - 1) == {}
    assert listings.due({UUID}, now=NOTED_EVERY_SECONDS) == {UUID: PACKAGES}
    # No poll has succeeded for a week.
    assert listings.due({UUID}, now=7 * 86_400.0) == {}
    listings.put(UUID, PACKAGES, valid_until=7 * 86_400.0 + 700)
    assert listings.due({UUID}, now=7 * 86_400.0) == {UUID: PACKAGES}


def test_what_was_listed_since_is_still_due() -> None:
    listings = PolledListings()
    listings.put(UUID, PACKAGES, valid_until=700.0)
    listings.put(UUID, (), valid_until=700.0)
    listings.noted({UUID: PACKAGES}, now=0.0)
    assert listings.due({UUID}, now=1.0) == {UUID: ()}


def test_what_was_away_in_a_listing_that_the_journal_does_not_know_has_returned() -> None:
    listings = PolledListings()
    listings.put(UUID, PACKAGES, valid_until=700.0)
    listings.noted({UUID: PACKAGES}, now=0.0)
    for packages in ((), PACKAGES):
        assert listings.returned(UUID) == frozenset()
        listings.put(UUID, packages, valid_until=700.0)
    assert listings.returned(UUID) == {"9.12.1"}
    listings.noted({UUID: PACKAGES}, now=1.0)
    assert listings.returned(UUID) == frozenset()
