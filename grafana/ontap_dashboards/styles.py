"""How values are displayed: thresholds, words instead of 0 and 1, and links to one cluster."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from ontap_mixin.settings import Settings

GREEN, BLUE, ORANGE, RED, GREY = "green", "blue", "orange", "red", "text"
COUNT = "locale"
"""The unit of a count: it is shown as 1,000, not as 1 K."""
SECONDS = "suffix: s"
"""The unit of durations in a table: the same in every line."""
DAYS = "suffix: d"
"""The unit of every age: days, and no weeks or years beside them."""
ABSENT = "–"  # noqa: RUF001 - a dash for an unknown value

Step = tuple[float | None, str]
Words = dict[float, tuple[str, str]]
"""The text and the colour for a value."""


def thresholds(*steps: Step) -> builders.ThresholdsConfig:
    """Colours from these values on; the first step has no value."""
    config = builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return config.steps([models.Threshold(value=value, color=color) for value, color in steps])


BY_VALUE = builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
"""Colours follow the thresholds."""
# The first step is the colour of a value that is not known: grey, never green.
PLAIN = thresholds((None, GREY), (0, BLUE))
"""A number that is neither good nor bad."""
NONE_IS_GOOD = thresholds((None, GREY), (0, GREEN), (1, RED))
"""Red from one on."""
NONE_IS_BETTER = thresholds((None, GREY), (0, GREEN), (1, ORANGE))
"""Orange from one on: somebody should check it, but not at night."""
SHARE_UP = thresholds((None, GREY), (0, RED), (0.9, ORANGE), (0.99, GREEN))
"""The share of clusters that are up, or of the time in which one was."""

UP_OR_DOWN: Words = {1: ("up", GREEN), 0: ("down", RED)}
ON_OR_OFF: Words = {0: ("off", GREEN), 1: ("on", RED)}
IN_PROGRESS: Words = {0: ("no", GREY), 1: ("in progress", BLUE)}
CODES = {
    "4": "4: there is no such package",
    "10551315": "10551315: the repository is empty",
    "10551325": "10551325: there is no such package",
    "10551346": "10551346: a validation is in progress",
    "10551347": "10551347: an update is in progress",
    "10551367": "10551367: the repository is busy",
    "10551388": "10551388: the deletion timed out",
    "10551322": "10551322: internal error, cleanup status",
    "10551323": "10551323: internal error on a node",
    "10551324": "10551324: internal error on several nodes",
    "10551326": "10551326: older cleanup tasks could not be deleted",
    "10551892": "10551892: a node is unhealthy",
}
"""What ONTAP's codes mean; docs/cleanup.md has more about each."""
YES_IS_GOOD: Words = {1: ("yes", GREEN), 0: ("no", RED)}
NEVER: Words = {0: ("never", RED)}
NOT_YET: Words = {0: ("never", GREY)}
USE: Words = {0: ("not in use", GREY), 1: ("in use", GREEN)}
DRY_RUN: Words = {0: ("deletes", ORANGE), 1: ("dry run", BLUE)}


def age_days(settings: Settings) -> builders.ThresholdsConfig:
    """Colour how long a package has been in a repository: orange when it counts as old, red at twice that."""
    old_days = settings.thresholds.unused_package_age_days
    return thresholds((None, GREY), (0, GREEN), (old_days, ORANGE), (2 * old_days, RED))


def words(mapping: Words) -> list[models.ValueMapping]:
    """Show words instead of values."""
    results = {
        f"{value:g}": models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(mapping.items())
    }
    return [models.ValueMap(options=results)]


def texts(mapping: dict[str, str]) -> list[models.ValueMapping]:
    """Show texts instead of the values of a label."""
    results = {
        value: models.ValueMappingResult(text=text, index=index)
        for index, (value, text) in enumerate(mapping.items())
    }
    return [models.ValueMap(options=results)]


def any_text(color: str) -> list[models.ValueMapping]:
    """Show texts as they are, in a colour."""
    shown = models.ValueMappingResult(text="$1", color=color)
    return [models.RegexMap(options=models.DashboardRegexMapOptions(pattern="(.+)", result=shown))]


def link(title: str, url: str) -> builders.DashboardLink:
    """Link a value to a page."""
    return builders.DashboardLink(title).url(url)


def runbook(settings: Settings, alert: str) -> str:
    """Return the address of an alert's page."""
    return f"{settings.runbook_base}{alert}.md"


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
