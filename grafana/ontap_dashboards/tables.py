"""Tables: one row for every set of label values, one column for every query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from ontap_dashboards import looks
from ontap_dashboards.frame import DATASOURCE
from ontap_dashboards.looks import ABSENT, COUNT, Words
from ontap_dashboards.panels import REFERENCES

TEXT_COLOR = {"type": "color-text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A column with the values of a label.

    Attributes:
        name: of the label.
        title: of the column.
        link: where a value leads.
        width: in pixels; None shares what is left.
    """

    name: str
    title: str
    link: dashboard.DashboardLink | None = None
    width: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with the values of a query.

    Attributes:
        query: what is asked.
        title: of the column; None hides it, for a query that only brings labels.
        unit: of the values.
        words: shown in place of values.
        colors: of the text, by value.
        missing: shown where the query has nothing for a row.
        decimals: of the values.
        width: in pixels; None shares what is left.
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
    no_value: str = "none",
    width: int = 24,
    height: int = 9,
) -> table.Panel:
    """A table whose columns come from one query each, joined by their labels.

    Args:
        title: of the panel.
        description: of the panel.
        labels: those that make a row.
        columns: the values of a row.
        hidden: labels that come with the values and are the same in every row.
        sort: title of the column that it is sorted by, and whether the largest comes first.
        no_value: shown in place of an empty table.
        width: of the panel.
        height: of the panel.
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
        "excludeByName": {name: True for name in ("Time", *hidden, *values) if name not in shown},
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": shown,
    }
    if len(columns) > 1:
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
    for label in labels:
        panel = _with_looks(panel, label.title, _label_looks(label))
    for column in columns:
        if column.title:
            panel = _with_looks(panel, column.title, _column_looks(column))
    if sort:
        name, largest_first = sort
        panel = panel.sort_by([common.TableSortByFieldState().display_name(name).desc(largest_first)])
    return panel


def matrix(
    title: str, description: str, query: str, *, rows: Label, across: str, words: Words, height: int = 11
) -> table.Panel:
    """A table with one row for every value of a label, and one column for every value of another."""
    panel = _empty(title, description, width=24, height=height)
    corner = f"{rows.name}\\{across}"
    sort = {"sort": [{"field": across}]}
    pivot = {"rowField": rows.name, "columnField": across, "valueField": "Value", "emptyValue": "null"}
    panel = (
        panel.with_target(_query(query, "A"))
        .with_transformation(models.DataTransformerConfig(id_val="sortBy", options=sort))
        .with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=pivot))
        .sort_by([common.TableSortByFieldState().display_name(rows.title)])
        .mappings(looks.words(words))
        .cell_options(
            options.TableColoredBackgroundCellOptions(mode=options.TableCellBackgroundDisplayMode.BASIC)
        )
        .thresholds(looks.thresholds((None, "transparent")))
        .align(options.FieldTextAlignment.CENTER)
        .min_width(90)
    )
    own = [models.DynamicConfigValue(id_val="custom.align", value="left"), *_label_looks(rows)]
    plain = models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "auto"})
    renamed = models.DynamicConfigValue(id_val="displayName", value=rows.title)
    return _with_looks(panel, corner, [*own, plain, renamed])


def _empty(title: str, description: str, *, width: int, height: int) -> table.Panel:
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
        .unit(COUNT)
        .color_scheme(looks.BY_VALUE)
        .filterable(True)  # noqa: FBT003 - the library's own interface
        .cell_height(options.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).enable_pagination(True))  # noqa: FBT003
        .thresholds(looks.thresholds((None, looks.GREY)))
    )


def _query(expression: str, reference: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).instant().format(PromQueryFormat.TABLE)
    return query.ref_id(reference).datasource(DATASOURCE)


def _with_looks(panel: table.Panel, title: str, properties: list[models.DynamicConfigValue]) -> table.Panel:
    return panel.override_by_name(title, properties) if properties else panel


def _label_looks(label: Label) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue(id_val="unit", value="string"),  # a code or version may look like a number
        models.DynamicConfigValue(id_val="noValue", value=ABSENT),
    ]
    if label.link:
        properties.append(models.DynamicConfigValue(id_val="links", value=[label.link.build()]))
    if label.width:
        properties.append(models.DynamicConfigValue(id_val="custom.width", value=label.width))
    return properties


def _column_looks(column: Column) -> list[models.DynamicConfigValue]:
    looked: dict[str, object] = {"unit": column.unit, "noValue": column.missing, "custom.align": "left"}
    if column.decimals is not None:
        looked["decimals"] = column.decimals
    if column.words:
        looked["mappings"] = looks.words(column.words)
    if column.colors:
        looked["thresholds"] = column.colors.build()
    if column.words or column.colors:
        looked["custom.cellOptions"] = TEXT_COLOR
    if column.width:
        looked["custom.width"] = column.width
    return [models.DynamicConfigValue(id_val=name, value=value) for name, value in looked.items()]
