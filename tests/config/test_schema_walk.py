"""The walk alone, on hand-made directives: contexts, cascades, refused blocks."""

from keepalived_py.config.document import Directive
from keepalived_py.config.load import interpret
from keepalived_py.diagnostics.origin import Origin
from tests.config.fake_host import FakeHost


def statement(text: str, *body: Directive, block: bool = False) -> Directive:
    return Directive(tuple(text.split()), text, Origin("k", 1), list(body) if body or block else None)


def found(*directives: Directive) -> list[str]:
    return [one.message for one in interpret(directives, (), FakeHost()).diagnostics if not one.logged_only]


def test_unknown_block_closes_the_enclosing_one() -> None:
    inner = statement("virtual_ip", statement("10.1.0.1"))
    assert found(statement("global_defs", inner, statement("router_id x"))) == [
        "Unknown keyword 'virtual_ip'",
        "Unexpected '{' - ignoring",
        "Unknown keyword '10.1.0.1'",
        "Unknown keyword 'router_id'",
        "Unknown keyword '}'",
    ]


def test_refused_block_is_not_read() -> None:
    assert found(statement("vrrp_instance", statement("nonsense"))) == ["vrrp_instance must have a name"]


def test_block_without_brace_still_opens() -> None:
    assert found(statement("global_defs"), statement("router_id x")) == [
        "Missing '{' at beginning of configuration block",
        "Unknown keyword 'router_id'",  # the processes that do not read global_defs meet it at top level
    ]


def test_lone_brace_at_top_level() -> None:
    assert found(statement("}")) == ["Unknown keyword '}'"]
