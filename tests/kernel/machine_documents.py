"""What commands print for scripts, checked against the schemas of the docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

__all__ = ["SCHEMAS", "check", "document"]

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def document(stdout: str, schema: str) -> Any:
    """What was printed to stdout, which must be JSON of the schema and nothing else."""
    found = json.loads(stdout)
    described = json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(described)
    jsonschema.validate(found, described)
    check(found, described, described["$defs"])
    return found


def check(value: Any, schema: dict[str, Any], named: dict[str, Any]) -> None:
    """Check that properties are those of the schema: none is missing, and none is left undescribed."""
    schema = named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(value, dict):
        for each in schema.get("anyOf", [schema]):
            each = named[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            if "properties" in each:
                assert set(value) == set(each["properties"]) == set(each["required"])
                for name, part in value.items():
                    check(part, each["properties"][name], named)
            elif "additionalProperties" in each:
                for part in value.values():
                    check(part, each["additionalProperties"], named)
    elif isinstance(value, list) and "items" in schema:
        for part in value:
            check(part, schema["items"], named)
