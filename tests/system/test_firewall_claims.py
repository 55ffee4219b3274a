"""The books of the packet filter: what is wanted, what is there, and what is left to remove."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from keepalived_py.system.firewall_claims import Claims

OWNERS, PARTS = "ABC", range(4)
STEPS = st.lists(
    st.tuples(st.sampled_from(OWNERS), st.sets(st.sampled_from(PARTS)), st.booleans()), max_size=30
)


@given(STEPS)
def test_what_is_there_is_what_the_kernel_said(steps: Iterable[tuple[str, set[int], bool]]) -> None:
    """Each step is an owner's wish (no parts: none any more), which a kernel may refuse to follow."""
    claims: Claims[int] = Claims()
    kernel: set[int] = set()
    wishes: dict[str, set[int]] = {}
    for owner, parts, agrees in steps:
        lacking = claims.lacking(sorted(parts))
        assert set(lacking) == parts - kernel
        if not parts:
            claims.give_up(owner)
            wishes.pop(owner, None)
        elif agrees or not lacking:
            kernel |= parts
            claims.came(lacking)
            claims.make(owner, sorted(parts))
            wishes[owner] = parts
        wanted = set().union(*wishes.values())
        assert set(claims.spare) == kernel - wanted
        assert set(claims.wanted) == kernel & wanted == wanted
        if agrees:
            kernel -= set(claims.spare)
            claims.went(claims.spare)
            assert not claims.spare
    assert {owner: set(claims.of(owner)) for owner in claims.names()} == wishes


def test_a_claim_made_again_is_for_the_new_parts_alone() -> None:
    """A link-local address counts with the number of its interface, which may be made anew."""
    claims: Claims[str] = Claims()
    for part in ("eth0 2", "eth0 7"):
        claims.came([part])
        claims.make("A", [part])
    assert (claims.wanted, claims.spare) == (("eth0 7",), ("eth0 2",))


def test_nothing_is_left_after_the_end() -> None:
    """A table that was removed took all with it."""
    claims: Claims[int] = Claims()
    claims.came([1, 2])
    claims.make("A", [1])
    claims.clear()
    assert (claims.names(), claims.wanted, claims.spare, claims.lacking([1])) == ((), (), (), (1,))
