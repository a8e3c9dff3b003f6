"""How values are displayed: thresholds, words instead of 0 and 1, and links to one cluster."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

GREEN, BLUE, ORANGE, RED, GREY = "green", "blue", "orange", "red", "text"
COUNT = "locale"
"""The unit of a count: it is shown as 1,000, not as 1 K."""
ABSENT = "–"  # noqa: RUF001 - a dash for an unknown value
DAY = 86_400
YEAR = 365 * DAY

Step = tuple[float | None, str]
Words = dict[float, tuple[str, str]]
"""The text and the colour for a value."""


def thresholds(*steps: Step) -> builders.ThresholdsConfig:
    """Colours from these values on; the first step has no value."""
    config = builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return config.steps([models.Threshold(value=value, color=color) for value, color in steps])


BY_VALUE = builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
"""Colours follow the thresholds."""
PLAIN = thresholds((None, BLUE))
"""A number that is neither good nor bad."""
NONE_IS_GOOD = thresholds((None, GREEN), (1, RED))
"""Red from one on."""
NONE_IS_BETTER = thresholds((None, GREEN), (1, ORANGE))
"""Orange from one on: somebody should check it, but not at night."""
AGE = thresholds((None, GREEN), (180 * DAY, ORANGE), (YEAR, RED))
"""How long a package may stay in a repository."""

UP_OR_DOWN: Words = {1: ("up", GREEN), 0: ("down", RED)}
YES_IS_GOOD: Words = {1: ("yes", GREEN), 0: ("no", RED)}
NEVER: Words = {0: ("never", RED)}
USE: Words = {0: ("not in use", GREY), 1: ("in use", GREEN)}
DRY_RUN: Words = {0: ("deletes", ORANGE), 1: ("dry run", BLUE)}


def words(mapping: Words) -> list[models.ValueMapping]:
    """Show words instead of values."""
    results = {
        f"{value:g}": models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(mapping.items())
    }
    return [models.ValueMap(options=results)]


def link(title: str, url: str) -> builders.DashboardLink:
    """Link a value to a page."""
    return builders.DashboardLink(title).url(url)


KEPT = "${datasource:queryparam}&${job:queryparam}&${__url_time_range}"
"""The variables that a link to another dashboard keeps."""


def dashboard_link(title: str, uid: str, variable: str, *also: str) -> builders.DashboardLink:
    """Link a value of a table to a dashboard that shows only what the value names.

    Args:
        title: the title of the link.
        uid: the dashboard's uid.
        variable: the variable of that dashboard that gets the value.
        also: variables that both dashboards have and that keep their values.
    """
    kept = "&".join((KEPT, *(f"${{{name}:queryparam}}" for name in also)))
    return link(title, f"/d/{uid}?{kept}&var-{variable}=${{__value.raw:percentencode}}")
