"""What the lexical layer takes out of a file before keywords are looked for, for those who read about it."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks.values import option
from keepalived_py.config.schema import Keyword

PREPROCESSOR: list[Keyword[Any]] = [
    option("include", "<GLOB>", "read other files here; what is wrong with them is only logged"),
    option("includer", "<GLOB>", "as include, but it is an error if a file cannot be read"),
    option("includem", "<GLOB>", "as includer, and a plain name must have a file"),
    option("includew", "<GLOB>", "as includem, and a pattern must fit a file"),
    option("includeb", "<GLOB>", "as includer, and each of the names in braces must have a file"),
    option("includea", "<GLOB>", "as include, with every check there is"),
    option("$NAME=", "<TEXT> [\\]", "give a name to a text; ${NAME} and $NAME stand for it from here on"),
    option(
        "~SEQ",
        "(<VAR>, [<START>, [<STEP>,]] <END>) <LINE>",
        "repeat the line with each number of a range",
        default="start 1, step 1",
    ),
    option(
        "~SEQx",
        "(<VAR>, [<START>, [<STEP>,]] <END>) <LINE>",
        "as ~SEQ, with the numbers in hexadecimal",
        default="start 1, step 1",
    ),
    option("~LST", "(<VAR>|{<V1>,..}, <VAL>|{..}, ...) <LINE>", "repeat the line with each value of a list"),
    option(
        "@<ID>",
        "<LINE>",
        "keep the line only if this machine has that id; @^<ID>: only if not",
        default="our host name up to its first dot",
    ),
]
