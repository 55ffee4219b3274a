"""The LALR(1) tables of `grammar/keepalived.lark`, as `syntax.make_tables` has lark make them.

Made once because making them costs half the time of checking a small file.  A
rule is its name and its symbols.  A state maps a symbol to an action: n >= 0 goes to
state n, n < 0 reduces by rule -n - 1.  They hold for the grammar file with this
checksum alone.
"""

from __future__ import annotations

GRAMMAR_CRC32 = 0x1D4111CE

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("__block_star_1", ("RUN",)),
    ("__block_star_1", ("__block_star_1", "RUN")),
    ("__block_star_1", ("__block_star_1", "anonymous")),
    ("__block_star_1", ("__block_star_1", "block")),
    ("__block_star_1", ("anonymous",)),
    ("__block_star_1", ("block",)),
    ("__start_star_0", ("RUN",)),
    ("__start_star_0", ("__start_star_0", "RUN")),
    ("__start_star_0", ("__start_star_0", "anonymous")),
    ("__start_star_0", ("__start_star_0", "block")),
    ("__start_star_0", ("__start_star_0", "stray")),
    ("__start_star_0", ("anonymous",)),
    ("__start_star_0", ("block",)),
    ("__start_star_0", ("stray",)),
    ("anonymous", ("LB", "CLOSE")),
    ("anonymous", ("LB", "__block_star_1", "CLOSE")),
    ("block", ("OPEN", "CLOSE")),
    ("block", ("OPEN", "__block_star_1", "CLOSE")),
    ("start", ()),
    ("start", ("__start_star_0",)),
    ("stray", ("CLOSE",)),
)

STATES: tuple[dict[str, int], ...] = (
    {
        "$END": -19,
        "CLOSE": 1,
        "LB": 2,
        "OPEN": 3,
        "RUN": 4,
        "__start_star_0": 5,
        "anonymous": 6,
        "block": 7,
        "start": 8,
        "stray": 9,
    },
    {"$END": -21, "CLOSE": -21, "LB": -21, "OPEN": -21, "RUN": -21},
    {"CLOSE": 10, "LB": 2, "OPEN": 3, "RUN": 11, "__block_star_1": 12, "anonymous": 13, "block": 14},
    {"CLOSE": 15, "LB": 2, "OPEN": 3, "RUN": 11, "__block_star_1": 16, "anonymous": 13, "block": 14},
    {"$END": -7, "CLOSE": -7, "LB": -7, "OPEN": -7, "RUN": -7},
    {"$END": -20, "CLOSE": 1, "LB": 2, "OPEN": 3, "RUN": 17, "anonymous": 18, "block": 19, "stray": 20},
    {"$END": -12, "CLOSE": -12, "LB": -12, "OPEN": -12, "RUN": -12},
    {"$END": -13, "CLOSE": -13, "LB": -13, "OPEN": -13, "RUN": -13},
    {},
    {"$END": -14, "CLOSE": -14, "LB": -14, "OPEN": -14, "RUN": -14},
    {"$END": -15, "CLOSE": -15, "LB": -15, "OPEN": -15, "RUN": -15},
    {"CLOSE": -1, "LB": -1, "OPEN": -1, "RUN": -1},
    {"CLOSE": 21, "LB": 2, "OPEN": 3, "RUN": 22, "anonymous": 23, "block": 24},
    {"CLOSE": -5, "LB": -5, "OPEN": -5, "RUN": -5},
    {"CLOSE": -6, "LB": -6, "OPEN": -6, "RUN": -6},
    {"$END": -17, "CLOSE": -17, "LB": -17, "OPEN": -17, "RUN": -17},
    {"CLOSE": 25, "LB": 2, "OPEN": 3, "RUN": 22, "anonymous": 23, "block": 24},
    {"$END": -8, "CLOSE": -8, "LB": -8, "OPEN": -8, "RUN": -8},
    {"$END": -9, "CLOSE": -9, "LB": -9, "OPEN": -9, "RUN": -9},
    {"$END": -10, "CLOSE": -10, "LB": -10, "OPEN": -10, "RUN": -10},
    {"$END": -11, "CLOSE": -11, "LB": -11, "OPEN": -11, "RUN": -11},
    {"$END": -16, "CLOSE": -16, "LB": -16, "OPEN": -16, "RUN": -16},
    {"CLOSE": -2, "LB": -2, "OPEN": -2, "RUN": -2},
    {"CLOSE": -3, "LB": -3, "OPEN": -3, "RUN": -3},
    {"CLOSE": -4, "LB": -4, "OPEN": -4, "RUN": -4},
    {"$END": -18, "CLOSE": -18, "LB": -18, "OPEN": -18, "RUN": -18},
)
