"""`keepalived-py schema`: the JSON Schema (draft 2020-12) of what `dump --json` prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from keepalived_py.cli.words import Parser
from keepalived_py.config.json_form import json_schema


def parser() -> argparse.ArgumentParser:
    """The command's own options: it has none."""
    return Parser(
        prog="keepalived-py schema", description="Print the JSON Schema (2020-12) of what dump --json prints."
    )


def run(words: Sequence[str]) -> int:
    """Print the schema; always 0."""
    parser().parse_args(words)
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
