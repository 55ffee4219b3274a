"""A configuration as JSON, and the JSON Schema of that.

Both follow the keyword table: a block is an object with one property for each
keyword that is written in it, under the keyword's name; a block that may stand
several times is a list, each with the words of its header under `header`; a
list of entries is a list of strings.  Numbers have the unit they have in the file.
"""

from typing import Any

from keepalived_py.config.blocks import root
from keepalived_py.config.dump import records, shown, valued, written_keywords
from keepalived_py.config.schema import Block, Keyword
from keepalived_py.config.table import remarks, signature
from keepalived_py.model.config import Configuration

Json = dict[str, Any]
MASK = "***"


def to_json(configuration: Configuration, *, secrets: bool = True) -> Json:
    """The configuration as values that `json` can write; secrets masked unless asked for."""
    return _object(root.ROOT, configuration, secrets)


def _object(block: Block[Any], record: Any, secrets: bool) -> Json:
    made: Json = {}
    for keyword in written_keywords(block):
        if keyword.block is not None:
            value = _nested(keyword, valued(record, keyword.attribute), secrets)
        else:
            value = _plain(keyword, shown(keyword, record), secrets)
        if value not in (None, [], {}):
            made[keyword.name] = value
    return made


def _nested(keyword: Keyword[Any], value: Any, secrets: bool) -> Any:
    inner = keyword.inner()
    if inner.show_entry is not None:
        return [inner.show_entry(one) for one in value or ()]
    made = []
    for record in records(inner, value):
        header = {"header": inner.show_header(record)} if inner.show_header is not None else {}
        made.append({**header, **_object(inner, record, secrets)})
    return made if _several(inner) else made[0] if made else None


def _several(block: Block[Any]) -> bool:
    return block.show_header is not None


def _plain(keyword: Keyword[Any], lines: list[str], secrets: bool) -> Any:
    if not lines:
        return None
    if keyword.secret and not secrets:
        return MASK
    kind = (keyword.schema or {}).get("type")
    if kind == "boolean":
        return lines[0] != "off"
    if kind in ("integer", "number") and len(lines) == 1:
        return float(lines[0]) if "." in lines[0] else int(lines[0])
    return lines if kind == "array" else "\n".join(lines)


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
        properties[keyword.name] = {"description": _description(keyword), **_schema_of(keyword)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema_of(keyword: Keyword[Any]) -> Json:
    if keyword.block is None:
        return keyword.schema or {"type": "string"}
    inner = keyword.inner()
    if inner.show_entry is not None:
        return {"type": "array", "items": {"type": "string"}}
    made = _schema_of_block(inner)
    return {"type": "array", "items": made} if _several(inner) else made


def _description(keyword: Keyword[Any]) -> str:
    return ". ".join([f"{signature(keyword)}: {keyword.help}", *remarks(keyword)])
