"""The LALR(1) tables of `grammar/keepalived.lark`, as `syntax.make_tables` has lark make them.

Made once because making them costs half the time of checking a small file.  A
rule is its name and its symbols.  A state maps a symbol to an action: n >= 0 goes to
state n, n < 0 reduces by rule -n - 1.  They hold for the grammar file with this
checksum alone.
"""

GRAMMAR_CRC32 = 0x08F99FC4

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("__block_star_1", ("__block_star_1", "_item")),
    ("__block_star_1", ("_item",)),
    ("__start_star_0", ("__start_star_0", "_item")),
    ("__start_star_0", ("__start_star_0", "stray")),
    ("__start_star_0", ("_item",)),
    ("__start_star_0", ("stray",)),
    ("_item", ("RUN",)),
    ("_item", ("anonymous",)),
    ("_item", ("block",)),
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
        "$END": -14,
        "CLOSE": 1,
        "LB": 2,
        "OPEN": 3,
        "RUN": 4,
        "__start_star_0": 5,
        "_item": 6,
        "anonymous": 7,
        "block": 8,
        "start": 9,
        "stray": 10,
    },
    {"$END": -16, "CLOSE": -16, "LB": -16, "OPEN": -16, "RUN": -16},
    {
        "CLOSE": 11,
        "LB": 2,
        "OPEN": 3,
        "RUN": 4,
        "__block_star_1": 12,
        "_item": 13,
        "anonymous": 7,
        "block": 8,
    },
    {
        "CLOSE": 14,
        "LB": 2,
        "OPEN": 3,
        "RUN": 4,
        "__block_star_1": 15,
        "_item": 13,
        "anonymous": 7,
        "block": 8,
    },
    {"$END": -7, "CLOSE": -7, "LB": -7, "OPEN": -7, "RUN": -7},
    {
        "$END": -15,
        "CLOSE": 1,
        "LB": 2,
        "OPEN": 3,
        "RUN": 4,
        "_item": 16,
        "anonymous": 7,
        "block": 8,
        "stray": 17,
    },
    {"$END": -5, "CLOSE": -5, "LB": -5, "OPEN": -5, "RUN": -5},
    {"$END": -8, "CLOSE": -8, "LB": -8, "OPEN": -8, "RUN": -8},
    {"$END": -9, "CLOSE": -9, "LB": -9, "OPEN": -9, "RUN": -9},
    {},
    {"$END": -6, "CLOSE": -6, "LB": -6, "OPEN": -6, "RUN": -6},
    {"$END": -10, "CLOSE": -10, "LB": -10, "OPEN": -10, "RUN": -10},
    {"CLOSE": 18, "LB": 2, "OPEN": 3, "RUN": 4, "_item": 19, "anonymous": 7, "block": 8},
    {"CLOSE": -2, "LB": -2, "OPEN": -2, "RUN": -2},
    {"$END": -12, "CLOSE": -12, "LB": -12, "OPEN": -12, "RUN": -12},
    {"CLOSE": 20, "LB": 2, "OPEN": 3, "RUN": 4, "_item": 19, "anonymous": 7, "block": 8},
    {"$END": -3, "CLOSE": -3, "LB": -3, "OPEN": -3, "RUN": -3},
    {"$END": -4, "CLOSE": -4, "LB": -4, "OPEN": -4, "RUN": -4},
    {"$END": -11, "CLOSE": -11, "LB": -11, "OPEN": -11, "RUN": -11},
    {"CLOSE": -1, "LB": -1, "OPEN": -1, "RUN": -1},
    {"$END": -13, "CLOSE": -13, "LB": -13, "OPEN": -13, "RUN": -13},
)
