"""All panels but tables: stats, graphs, bars and timelines."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from ontap_dashboards import styles
from ontap_dashboards.frame import DATASOURCE
from ontap_dashboards.styles import ABSENT, COUNT, Words

REFERENCES = "ABCDEFGHIJ"
POINTS = 240
"""Points of a line: with 1,000 clusters, Prometheus reads 1,000 series or more for each point."""
Query = tuple[str, str]
"""An expression and the legend of its series."""


def number(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = COUNT,
    colors: dashboard.ThresholdsConfig = styles.PLAIN,
    words: Words | None = None,
    no_value: str = ABSENT,
    width: int = 3,
    link: dashboard.DashboardLink | None = None,
) -> stat.Panel:
    """One large number, as of now."""
    query = prometheus.Dataquery().expr(expression).ref_id("A").datasource(DATASOURCE)
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(4)
        .unit(unit)
        .decimals(1 if unit in {"s", "percentunit"} else 0)
        .no_value(no_value)
        .color_scheme(styles.BY_VALUE)
        .thresholds(colors)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.VALUE)
        .with_target(query.instant().legend_format("__auto"))
    )
    if words:
        panel = panel.mappings(styles.words(words))
    return panel.links([link]) if link else panel


def word(
    title: str,
    description: str,
    expression: str,
    label: str,
    *,
    color: str = styles.BLUE,
    no_value: str = ABSENT,
    width: int = 3,
    link: dashboard.DashboardLink | None = None,
) -> stat.Panel:
    """One large word, as of now: the value of a label.

    It is a field of a table, not the name of a series: without a series, a name would be blank.
    """
    grey = styles.thresholds((None, styles.GREY))
    panel = number(title, description, expression, unit="string", colors=grey, no_value=no_value, width=width)
    query = prometheus.Dataquery().expr(expression).ref_id("A").datasource(DATASOURCE).instant()
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"]).fields(f"/^{label}$/")
    panel = panel.targets([query.format(PromQueryFormat.TABLE)]).reduce_options(reduced)
    panel = panel.mappings(styles.any_text(color))
    return panel.links([link]) if link else panel


def spread(seconds: str) -> tuple[Query, ...]:
    """Show the durations of any number of clusters in three lines: slowest, 90 % and median."""
    return (
        (f"max({seconds})", "slowest"),
        (f"quantile(0.9, {seconds})", "90 %"),
        (f"quantile(0.5, {seconds})", "median"),
    )


def graph(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str = "short",
    stacked: bool = False,
    bars: bool = False,
    decimals: int | None = None,
    most: float | None = None,
    words: Words | None = None,
    colors: dict[str, str] | None = None,
    interval: str = "",
    points: int = POINTS,
    width: int = 12,
    height: int = 8,
) -> timeseries.Panel:
    """Lines over time, or bars for rare events."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .unit(unit)
        .min(0)
        .no_value("no data")
        .max_data_points(points)
        .draw_style(options.GraphDrawStyle.BARS if bars else options.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(60 if stacked or bars else 5)
        .show_points(options.VisibilityMode.NEVER)
        .tooltip(
            common.VizTooltipOptions()
            .mode(options.TooltipDisplayMode.MULTI)
            .sort(options.SortOrder.DESCENDING)
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)  # noqa: FBT003 - the library's own interface
        )
    )
    if stacked or bars:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if unit in {"short", "cpm"}:
        panel = panel.axis_soft_max(1)
    if interval:
        panel = panel.interval(interval)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if most is not None:
        panel = panel.max(most)
    if words:
        panel = panel.mappings(styles.words(words)).line_interpolation(options.LineInterpolation.STEP_AFTER)
    for name, color in (colors or {}).items():
        fixed = {"mode": "fixed", "fixedColor": color}
        panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val="color", value=fixed)])
    for reference, (expression, legend) in zip(REFERENCES, queries, strict=False):
        query = prometheus.Dataquery().expr(expression).range().legend_format(legend)
        panel = panel.with_target(query.ref_id(reference).datasource(DATASOURCE))
    return panel


def bars(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str = COUNT,
    colors: dashboard.ThresholdsConfig = styles.PLAIN,
    no_value: str = "nothing is known",
    most: float | None = None,
    width: int = 12,
    height: int = 8,
) -> bargauge.Panel:
    """Horizontal bars, as of now."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .unit(unit)
        .min(0)
        .decimals(0 if unit == COUNT else 1)
        .no_value(no_value)
        .color_scheme(styles.BY_VALUE)
        .thresholds(colors)
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .name_placement(options.BarGaugeNamePlacement.TOP)
        .sizing(options.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(40)
        .text(common.VizTextDisplayOptions().title_size(12).value_size(14))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if most is not None:
        panel = panel.max(most)
    for reference, (expression, legend) in zip(REFERENCES, queries, strict=False):
        query = prometheus.Dataquery().expr(expression).instant().legend_format(legend)
        panel = panel.with_target(query.ref_id(reference).datasource(DATASOURCE))
    return panel


def timeline(
    title: str,
    description: str,
    queries: Sequence[tuple[str, str, Words]],
    *,
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """States over time, one line for each: an expression, its legend, and the words of its values."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .unit(COUNT)
        .no_value("no data")
        .max_data_points(POINTS)
        .color_scheme(styles.BY_VALUE)
        .thresholds(styles.thresholds((None, styles.GREY)))
        .merge_values(True)  # noqa: FBT003 - the library's own interface
        .show_value(options.VisibilityMode.NEVER)
        .fill_opacity(80)
    )
    for reference, (expression, legend, words) in zip(REFERENCES, queries, strict=False):
        query = prometheus.Dataquery().expr(expression).range().legend_format(legend)
        panel = panel.with_target(query.ref_id(reference).datasource(DATASOURCE))
        mappings = models.DynamicConfigValue(id_val="mappings", value=styles.words(words))
        panel = panel.override_by_query(reference, [mappings])
    return panel
