"""What the dashboards share: identity, variables, links between them, and the numbers of their panels."""

from __future__ import annotations

from operator import itemgetter

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from ontap_mixin import exporter_rules
from ontap_mixin.settings import Link, Settings

TAG = "ontap-packages-exporter"
FLEET, CLUSTER, CLEANUP, EXPORTER = (
    f"ontap-packages-{name}" for name in ("fleet", "cluster", "cleanup", "exporter")
)
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
POLL_INTERVAL = "5m"
"""The default of poll_interval: smaller steps would only show gaps between polls."""
ALL = models.VariableOption(selected=True, text=["All"], value=["$__all"])


def frame(
    settings: Settings, uid: str, title: str, description: str, *, refresh: str, since: str
) -> builders.Dashboard:
    """Begin a read-only dashboard with links to the others."""
    ours = (
        builders.DashboardLink("ONTAP packages")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)  # noqa: FBT003 - the library's own interface
        .keep_time(True)  # noqa: FBT003
    )
    board = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG, "netapp", "ontap"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
        .time(since, "now")
        .refresh(refresh)
        .link(ours)
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for further in settings.links:
        board = board.link(_link(further))
    return board


def _link(further: Link) -> builders.DashboardLink:
    link = builders.DashboardLink(further.title).keep_time(True)  # noqa: FBT003 - the library's own interface
    if further.url is not None:
        return link.type(models.DashboardLinkType.LINK).url(further.url)
    return link.type(models.DashboardLinkType.DASHBOARDS).tags([further.tag or ""])


def annotated(board: builders.Dashboard, name: str, expression: str, color: str) -> builders.Dashboard:
    """Mark the times at which an expression has a value."""
    annotation = (
        builders.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)  # noqa: FBT003 - the library's own interface
        .icon_color(color)
        .expr(expression)
    )
    return board.annotation(annotation)


def several(name: str, label: str, query: str) -> builders.QueryVariable:
    """Choose any number of a label's values."""
    return (
        _values(name, label, query).multi(True).include_all(True).all_value(".+").current(ALL)  # noqa: FBT003
    )


def one_of(name: str, label: str, query: str) -> builders.QueryVariable:
    """Choose one of a label's values."""
    return _values(name, label, query)


def _values(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )


def choice(name: str, label: str, options: dict[str, str], chosen: str) -> builders.CustomVariable:
    """Choose one of fixed values, shown by their texts."""
    return (
        builders.CustomVariable(name)
        .label(label)
        .values(",".join(text if text == value else f"{text} : {value}" for text, value in options.items()))
        .current(models.VariableOption(selected=True, text=chosen, value=options[chosen]))
        .options(
            [
                models.VariableOption(selected=text == chosen, text=text, value=value)
                for text, value in options.items()
            ]
        )
    )


def filters(name: str, label: str) -> builders.AdHocVariable:
    """Filter every query of the dashboard by any label."""
    return builders.AdHocVariable(name).label(label).datasource(DATASOURCE)


def jobs() -> builders.QueryVariable:
    """Choose the scrape jobs.

    "All" means the jobs of this exporter, each by name: every program has ``up`` and ``process_*``. What the
    rules record of ``up`` names the jobs whose exporters have been dead for longer than the time shown, too.
    """
    known = f'{{__name__=~"{exporter_rules.EXPORTERS}|ontap_exporter_build_info"}}'
    return (
        _values("job", "Job", f"label_values({known}, job)")
        .multi(True)  # noqa: FBT003 - the library's own interface
        .include_all(True)  # noqa: FBT003
        .current(ALL)
    )


def old_after(settings: Settings) -> builders.CustomVariable:
    """Choose the age from which a package counts as old; at first, that of the rules."""
    days: dict[str, float] = {
        "30 days": 30,
        "90 days": 90,
        "180 days": 180,
        "1 year": 365,
        "2 years": 730,
        "3 years": 1095,
    }
    of_rules = settings.thresholds.unused_package_age_days
    if of_rules not in days.values():
        days[f"{of_rules:g} days"] = of_rules
    chosen = next(text for text, number in days.items() if number == of_rules)
    seconds = {text: f"{number * 86_400:.0f}" for text, number in sorted(days.items(), key=itemgetter(1))}
    return choice("old_after", "Old after", seconds, chosen)


def label_of_clusters(settings: Settings) -> builders.CustomVariable:
    """Choose one of the labels that the configuration gives to clusters."""
    labels = settings.cluster_labels
    return choice("by", "Break down by", {label: label for label in labels}, labels[0])


def rows() -> builders.CustomVariable:
    """Choose how many rows the long tables have."""
    return choice("rows", "Rows", {number: number for number in ("10", "20", "50", "100", "500")}, "20")


def group(board: builders.Dashboard, title: str, *panels: Builder[models.Panel]) -> builders.Dashboard:
    """Add a row with its panels, which flow from left to right and then downwards."""
    board = board.with_row(builders.Row(title))
    for panel in panels:
        board = board.with_panel(panel)
    return board


def folded(board: builders.Dashboard, title: str, *panels: Builder[models.Panel]) -> builders.Dashboard:
    """Add a row that is closed at first: its panels ask nothing until it is opened."""
    row = builders.Row(title).collapsed(True)  # noqa: FBT003 - the library's own interface
    for panel in panels:
        row = row.with_panel(panel)
    return board.with_row(row)


def numbered(dashboard: models.Dashboard) -> models.Dashboard:
    """Number the panels in their order; links to panels use these numbers."""
    number = 0
    for panel in dashboard.panels or ():
        inner = panel.panels if isinstance(panel, models.RowPanel) else []
        for one in (panel, *inner):
            number += 1
            one.id_val = number
    return dashboard
