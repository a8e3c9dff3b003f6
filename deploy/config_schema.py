"""Writes the JSON Schema of the configuration for editors.

The models say what is allowed; docs/configuration.md lends its words and the defaults, which tests compare.
What needs a file, another layer of settings or the network is not in the schema: `check-config` says it.

`make schema` runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from exporter.config.schema import (
    Authorization,
    BasicAuth,
    CleanupConfig,
    ClusterEntry,
    ClusterSelector,
    OAuth2,
    PolicyConfig,
    Root,
    Settings,
    StrictModel,
    TlsConfig,
)

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "exporter" / "config" / "config.schema.json"
PAGE: Final = ROOT / "docs" / "configuration.md"

_VARIABLE: Final[JsonSchemaValue] = {"type": "string", "pattern": r"\$\{"}
"""An environment variable may stand for any value; what it holds, a schema cannot know."""
_DURATION: Final = "".join(rf"(?:[0-9]+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
_LABEL: Final = "^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$"
_NESTED: Final[dict[str, type[StrictModel]]] = {
    "basic_auth": BasicAuth,
    "authorization": Authorization,
    "oauth2": OAuth2,
    "tls_config": TlsConfig,
    "clusters": ClusterSelector,
}
_TABLES: Final[dict[tuple[str, str], tuple[type[StrictModel], ...]]] = {
    ("Top level", "key"): (Root,),
    ("Settings", "key"): (Settings, ClusterEntry),
    ("Clusters", "key"): (ClusterEntry,),
    ("Cleanup", "key of cleanup"): (CleanupConfig,),
    ("Cleanup", "key of a policy"): (PolicyConfig,),
}
"""Whose keys a table of the page explains, by its heading and its first column."""
_REQUIRED: Final[dict[type[StrictModel], JsonSchemaValue]] = {
    Root: {
        "anyOf": [
            {"required": ["clusters"], "properties": {"clusters": {"type": "array", "minItems": 1}}},
            {"required": ["cluster_files"], "properties": {"cluster_files": {"type": "array"}}},
        ]
    },
    ClusterSelector: {"minProperties": 1, "properties": {"labels": {"minProperties": 1}}},
    ClusterEntry: {"required": ["address"]},
    CleanupConfig: {"required": ["policies"]},
    PolicyConfig: {
        "required": ["name"],
        "oneOf": [{"required": ["schedule"]}, {"required": ["every"]}],
        "anyOf": [{"required": ["keep_newest"]}, {"required": ["older_than"]}],
    },
}
_FILLED: Final = frozenset({(CleanupConfig, "policies")})
"""Lists that hold at least one item."""
_ROW: Final = re.compile(r"\| `([^`]+)` \| (?:.+?) \| (.+?) \| (.+) \|")
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def main() -> None:
    """Write it."""
    TARGET.write_text(config_schema(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def config_schema(page: str) -> str:
    """Return the schema of a configuration file, described in the words of the page."""
    schema = Root.model_json_schema(schema_generator=_Generator)
    schema["properties"]["cluster_files"]["items"] = {"type": "string", "minLength": 1}
    for (model, key), said in _words(page):
        shape = schema if model is Root else schema["$defs"][model.__name__]
        shape["properties"][key] |= said
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of ontap-packages-exporter",
    }
    return json.dumps(head | schema, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Says as much as a schema can of the validators of the fields, known by their names."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Give the keys, those that are required, and those that exclude each other."""
        model = schema["cls"]
        shape = super().model_schema(schema)
        shape = {key: value for key, value in shape.items() if key not in {"title", "description"}}
        for key, value in shape["properties"].items():
            value.pop("title", None)
            first = value["anyOf"][0] if "anyOf" in value else value
            for limit, word in (("ge", "minimum"), ("le", "maximum")):
                if limit in value:
                    first[word] = value.pop(limit)
            if (model, key) in _FILLED:
                first["minItems"] = 1
        conditions = [{"not": {"required": list(keys)}} for keys in model.exclusive]
        conditions += [_REQUIRED[model]] if model in _REQUIRED else []
        return shape | ({"allOf": conditions} if conditions else {})

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave the default to the page, which writes it as a file does."""
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Give the names of labels; the values are as in the model."""
        keys = schema["keys_schema"]
        named = keys["type"] == "function-after" and _name(keys) == "_label_name"
        values = self.generate_inner(schema["values_schema"])
        names = {"propertyNames": {"pattern": _LABEL}} if named else {}
        return {"type": "object", "additionalProperties": values, **names}

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        """All of them read text; a duration is a pattern."""
        match _name(schema):
            case "parse_duration_or_zero":
                return {
                    "anyOf": [{"type": "string", "pattern": f"^(?=.){_DURATION}$"}, _VARIABLE, {"const": 0}]
                }
            case "_tls_version":
                return {"anyOf": [{"enum": ["TLS12", "TLS13"]}, _VARIABLE]}
            case "_proxy_url":  # empty text is no proxy
                return {"type": "string"}
            case _:
                return {"type": "string", "minLength": 1}

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Numbers, true and false may be text; some mappings and lists may be left empty."""
        inner = schema["schema"]
        nullable = inner["type"] == "nullable"
        value = self.generate_inner(inner["schema"] if nullable else inner)
        match _name(schema):
            case "_something":
                return value
            case "_number":
                return {"anyOf": [value, {"type": "string", "pattern": "^[0-9]{1,18}$"}, _VARIABLE]}
            case "_boolean":
                return {"anyOf": [value, {"enum": ["true", "false"]}, _VARIABLE]}
            case _:  # the section cleanup, left empty, would lack its policies
                return value if nullable else {"anyOf": [value, {"type": "null"}]}

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        """Narrow what may be empty, or 0."""
        value = self.generate_inner(schema["schema"])
        match _name(schema):
            case "_positive" | "_at_least_a_second":
                return {"anyOf": [{"type": "string", "pattern": f"^(?=.*[1-9]){_DURATION}$"}, _VARIABLE]}
            case "_check_keep_newest":
                value["anyOf"][0]["minimum"] = 1
            case "check_username":
                value["pattern"] = "^[^:]+$"
            case _ if value.get("type") == "string":
                value["minLength"] = 1
        return value


def _name(schema: Mapping[str, Any]) -> str:
    """Return the name of the function of a validator."""
    return str(getattr(schema["function"]["function"], "__name__", ""))


def _words(page: str) -> Iterator[tuple[tuple[type[StrictModel], str], JsonSchemaValue]]:
    """Give what the tables of the page say about each key of each model."""
    models: tuple[type[StrictModel], ...] = ()
    head = ""
    for line in page.splitlines():
        if line.startswith("## "):
            head = line[3:]
        elif line.startswith("| key "):
            models = _TABLES.get((head, line.split("|")[1].strip()), ())
        elif row := _ROW.fullmatch(line):
            outer, _, inner = row[1].rpartition(".")
            default, meaning = row[2], _LINK.sub(r"\1", row[3]).replace("`", "").replace("\\|", "|")
            said: JsonSchemaValue = {"description": meaning}
            if default.startswith("`"):
                said["default"] = yaml.safe_load(default.strip("`"))
            for model in (_NESTED[outer],) if outer else models:
                yield (model, inner), said


if __name__ == "__main__":
    main()
