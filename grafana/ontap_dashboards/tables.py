"""Tables: one row for every set of label values, one column for every query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from ontap_dashboards import styles
from ontap_dashboards.frame import DATASOURCE
from ontap_dashboards.panels import REFERENCES
from ontap_dashboards.styles import ABSENT, COUNT, Words

TEXT_COLOR = {"type": "color-text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A column with the values of a label.

    Attributes:
        name: the label's name.
        title: the column's title.
        link: the page that a value links to.
        width: in pixels; None: a share of the remaining width.
        texts: shown instead of some values.
    """

    name: str
    title: str
    link: dashboard.DashboardLink | None = None
    width: int | None = None
    texts: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with the values of a query.

    Attributes:
        query: the expression.
        title: the column's title; None hides the column, for a query that only adds labels.
        unit: the unit of the values.
        words: shown instead of values.
        colors: the text's colour, by value.
        missing: shown if the query has no value for a row.
        decimals: the decimals of the values.
        width: in pixels; None: a share of the remaining width.
    """

    query: str
    title: str | None
    unit: str = COUNT
    words: Words | None = None
    colors: dashboard.ThresholdsConfig | None = None
    missing: str = ABSENT
    decimals: int | None = None
    width: int | None = None


def listing(
    title: str,
    description: str,
    *,
    labels: Sequence[Label],
    columns: Sequence[Column],
    hidden: Sequence[str] = (),
    sort: tuple[str, bool] | None = None,
    order: str = "",
    no_value: str = "Nothing is known.",
    width: int = 24,
    height: int = 9,
) -> table.Panel:
    """A table whose columns come from one query each, joined by their labels.

    Args:
        title: the panel's title.
        description: the panel's description.
        labels: the labels that identify a row.
        columns: the values of a row.
        hidden: labels that have the same value in every row.
        sort: the title of the column to sort by, and whether the largest value comes first.
        order: a label that is not shown, by which the rows are ordered.
        no_value: shown if the table is empty.
        width: the panel's width.
        height: the panel's height.
    """
    panel = _empty(title, description, width=width, height=height).no_value(no_value)
    references = dict(zip(REFERENCES, columns, strict=False))
    for reference, column in references.items():
        panel = panel.with_target(_query(column.query, reference))
    values = (
        {f"Value #{reference}": column for reference, column in references.items()}
        if len(columns) > 1
        else {"Value": columns[0]}
    )
    names = [*(label.name for label in labels), *values]
    shown = {label.name: label.title for label in labels}
    shown |= {name: column.title for name, column in values.items() if column.title}
    organize = {
        "excludeByName": {
            name: True for name in ("Time", *hidden, *filter(None, (order,)), *values) if name not in shown
        },
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": shown,
    }
    if len(columns) > 1:
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    if order:
        ordering = {"sort": [{"field": order}]}
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="sortBy", options=ordering))
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
    for label in labels:
        panel = _with_style(panel, label.title, _label_style(label))
    for column in columns:
        if column.title:
            panel = _with_style(panel, column.title, _column_style(column))
    if sort:
        name, largest_first = sort
        panel = panel.sort_by([common.TableSortByFieldState().display_name(name).desc(largest_first)])
    return panel


def matrix(
    title: str, description: str, query: str, *, rows: Label, across: str, order: str, height: int = 11
) -> table.Panel:
    """A table of numbers: a row for every value of a label, a column for every value of another, ordered."""
    panel = _empty(title, description, width=24, height=height)
    corner = f"{rows.name}\\{across}"
    sort = {"sort": [{"field": order}]}
    pivot = {"rowField": rows.name, "columnField": across, "valueField": "Value", "emptyValue": "null"}
    panel = (
        panel.with_target(_query(query, "A"))
        .with_transformation(models.DataTransformerConfig(id_val="sortBy", options=sort))
        .with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=pivot))
        .sort_by([common.TableSortByFieldState().display_name(rows.title)])
        .cell_options(
            options.TableColoredBackgroundCellOptions(mode=options.TableCellBackgroundDisplayMode.BASIC)
        )
        .thresholds(styles.thresholds((None, "transparent"), (1, "semi-dark-blue")))
        .align(options.FieldTextAlignment.CENTER)
        .min_width(70)
    )
    own = [models.DynamicConfigValue(id_val="custom.align", value="left"), *_label_style(rows)]
    plain = models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "auto"})
    renamed = models.DynamicConfigValue(id_val="displayName", value=rows.title)
    return _with_style(panel, corner, [*own, plain, renamed])


def _empty(title: str, description: str, *, width: int, height: int) -> table.Panel:
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .unit(COUNT)
        .color_scheme(styles.BY_VALUE)
        .filterable(True)  # noqa: FBT003 - the library's own interface
        .cell_height(options.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).enable_pagination(True))  # noqa: FBT003
        .thresholds(styles.thresholds((None, styles.GREY)))
    )


def _query(expression: str, reference: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).instant().format(PromQueryFormat.TABLE)
    return query.ref_id(reference).datasource(DATASOURCE)


def _with_style(panel: table.Panel, title: str, properties: list[models.DynamicConfigValue]) -> table.Panel:
    return panel.override_by_name(title, properties) if properties else panel


def _label_style(label: Label) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue(id_val="unit", value="string"),  # a code or version may look like a number
        models.DynamicConfigValue(id_val="noValue", value=ABSENT),
    ]
    if label.link:
        properties.append(models.DynamicConfigValue(id_val="links", value=[label.link.build()]))
    if label.texts:
        properties.append(models.DynamicConfigValue(id_val="mappings", value=styles.texts(dict(label.texts))))
    if label.width:
        properties.append(models.DynamicConfigValue(id_val="custom.width", value=label.width))
    return properties


def _column_style(column: Column) -> list[models.DynamicConfigValue]:
    style: dict[str, object] = {"unit": column.unit, "noValue": column.missing, "custom.align": "right"}
    if column.words or column.unit.startswith("dateTime"):
        style["custom.align"] = "left"
    if column.decimals is not None:
        style["decimals"] = column.decimals
    if column.words:
        style["mappings"] = styles.words(column.words)
    if column.colors:
        style["thresholds"] = column.colors.build()
    if column.words or column.colors:
        style["custom.cellOptions"] = TEXT_COLOR
    if column.width:
        style["custom.width"] = column.width
    return [models.DynamicConfigValue(id_val=name, value=value) for name, value in style.items()]
