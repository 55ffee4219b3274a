"""A configuration as JSON, and the JSON Schema of that.

Both follow the keyword table: a block is an object with one property for each
keyword that is written in it, under the keyword's name; a block that may stand
several times is a list, each with the words of its header, if any, under
`header`; a list of entries is a list of strings, under `entries` if it has a
header too.  Numbers have the unit they have in the file.
"""

from __future__ import annotations

import re
from typing import Any

from keepalived_py.config.blocks import root
from keepalived_py.config.dump import entry_lines, records, shown, valued, written_keywords
from keepalived_py.config.schema import Block, Keyword
from keepalived_py.config.table import remarks, signature
from keepalived_py.model.config import Configuration

Json = dict[str, Any]
NUMBERS = ("integer", "number")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?\Z")
_QUOTED = re.compile(r'"([^"]*)"\Z')


def to_json(configuration: Configuration, *, secrets: bool = True) -> Json:
    """The configuration as values that `json` can write; without `secrets` they are masked."""
    return _object(root.ROOT, configuration, None, secrets)


def _object(block: Block[Any], record: Any, around: Any, secrets: bool) -> Json:
    made: Json = {}
    for keyword in written_keywords(block):
        if keyword.block is not None:
            value = _nested(keyword, record, secrets)
        else:
            value = _plain(keyword, shown(keyword, record, around, secrets=secrets))
        if value not in (None, [], {}):
            made[keyword.name] = value
    return made


def _nested(keyword: Keyword[Any], around: Any, secrets: bool) -> Any:
    inner, value = keyword.inner(), valued(around, keyword.attribute)
    if inner.show_entry is not None and inner.show_header is None:
        return [inner.show_entry(one) for one in value or ()]
    made = [_block(keyword, record, around, secrets) for record in records(inner, value)]
    return made if _several(inner) else made[0] if made else None


def _block(keyword: Keyword[Any], record: Any, around: Any, secrets: bool) -> Json:
    inner = keyword.inner()
    header = inner.show_header(record) if inner.show_header is not None else ""
    named = {"header": header} if header else {}
    if inner.show_entry is not None:
        return {**named, "entries": entry_lines(keyword, record, secrets=secrets)}
    return {**named, **_object(inner, record, around, secrets)}


def _several(block: Block[Any]) -> bool:
    return block.show_header is not None


def _plain(keyword: Keyword[Any], lines: list[str]) -> Any:
    """What the lines of a keyword say, as the type that its schema has."""
    schema = keyword.schema or {}
    if not lines:
        return None
    if schema.get("type") == "boolean":
        return lines[0] != "off"
    if schema.get("type") != "array":
        return _value(lines[0], schema)
    items = schema["items"]
    if set(items) == {"type"} and items["type"] == "string":
        return [_value(line, items) for line in lines]
    return [_value(word, items) for line in lines for word in line.split()]


def _value(text: str, schema: Json) -> Any:
    if _NUMBER.match(text) and _numeric(schema):
        return float(text) if "." in text else int(text)
    found = _QUOTED.match(text)
    return found[1] if found else text


def _numeric(schema: Json) -> bool:
    """Whether a number is what `schema` wants, or one of the things it takes."""
    enumerated = any(isinstance(one, int) for one in schema.get("enum", ()))
    return schema.get("type") in NUMBERS or enumerated or any(map(_numeric, schema.get("anyOf", ())))


# JSON Schema -----------------------------------------------------------------


def json_schema() -> Json:
    """The schema (draft 2020-12) of what `to_json` makes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A keepalived configuration",
        **_schema_of_block(root.ROOT),
    }


def _schema_of_block(block: Block[Any]) -> Json:
    properties: Json = {"header": {"type": "string"}} if _several(block) else {}
    for keyword in written_keywords(block):
        properties[keyword.name] = {**_schema_of(keyword), "description": _description(keyword)}
    return _object_of(properties)


def _object_of(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema_of(keyword: Keyword[Any]) -> Json:
    if keyword.block is None:
        return keyword.schema or {"type": "string"}
    inner = keyword.inner()
    lines = {"type": "array", "items": {"type": "string"}}
    if inner.show_entry is None:
        made = _schema_of_block(inner)
    elif inner.show_header is None:
        return lines
    else:
        made = _object_of({"header": {"type": "string"}, "entries": lines})
    return {"type": "array", "items": made} if _several(inner) else made


def _description(keyword: Keyword[Any]) -> str:
    return ". ".join([f"{signature(keyword)}: {keyword.help}", *remarks(keyword)])
