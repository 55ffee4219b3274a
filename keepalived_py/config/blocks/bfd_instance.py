"""`bfd_instance`: one BFD session.

Three of keepalived's processes read this block, each for itself: the checkers
and VRRP take the name (and VRRP the weight), BFD takes the rest.  Each skips
what it cannot use, so after a mistake that makes BFD skip the block the others
still complain about its weight and about unknown keywords.  Who still reads a
draft is kept in its `readers`; `vrrp` and `checker` tell in the end who knows
its name, and `dropped` whether BFD has refused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.decimals import fixed_point
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.blocks.weights import REVERSE, WHOLE_RECORD, show_weight, weight_schema
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.bfd import BfdInstance

LONGEST_NAME = 31
LARGEST_MS = 4_294_967
SENSIBLE_MS = 10_000
LARGEST_TTL = 255
LARGEST_WEIGHT = 253
LARGEST_MULTIPLIER = 255
TTL, HOP_LIMIT = 255, 64
MULTIHOP_SINCE = "2.2.8"
TITLE = "Configuration error: BFD instance"

CHECKER, VRRP, BFD = 1, 2, 4
EVERYBODY = CHECKER | VRRP | BFD

Session = Draft[BfdInstance]


def _by_bfd(
    read: Callable[[Run, Session, Directive], object], *, optional: bool = False
) -> Callable[[Run, Session, Directive], object]:
    """A converter that only BFD has: it says nothing once BFD skips the block.

    keepalived stops where BFD misses an argument; by then the other processes
    have read the whole file.
    """

    def convert(run: Run, target: Session, at: Directive) -> object:
        if not target.readers & BFD:
            return FAILED
        if len(at.words) < 2 and not optional:
            _said_by_bfd(run, Run.missing_parameter, at, at.keyword, 2)
            run.stopped = False
            target.readers &= ~BFD
            target.dropped = target.stopped = True
            return FAILED
        return _said_by_bfd(run, read, target, at)

    return convert


def _said_by_bfd(run: Run, read: Callable[..., object], *arguments: object) -> object:
    """What `read` gives; what it says only BFD says, so it is dropped in a reading of another process."""
    said = len(run.diagnostics)
    found = read(run, *arguments)
    if run.process in ("checker", "vrrp"):
        del run.diagnostics[said:]
    return found


def _address(text: str) -> Address | None:
    """An address without range and mask; an interface behind it is not allowed."""
    return None if "%" in text else values.address(_without_range(text))


def _without_range(text: str) -> str:
    return text.partition("-" if "-" in text else "/")[0]


def _neighbour(run: Run, target: Session, at: Directive) -> object:
    found = _address(at.words[1])
    if found is not None:
        return found
    message = f"{TITLE} {target.name} has malformed neighbor address {at.words[1]}, ignoring instance"
    run.error(message, at, word=1, expected="an IPv4 or IPv6 address")
    target.readers &= ~BFD
    target.dropped = True
    return FAILED


def _source(run: Run, target: Session, at: Directive) -> object:
    found = _address(at.words[1])
    if found is None:
        message = f"{TITLE} {target.name} has malformed source address {at.words[1]}, ignoring"
        run.error(message, at, word=1, expected="an IPv4 or IPv6 address")
        return FAILED
    return found


def _interval(name: str, low_ms: int) -> Callable[[Run, Session, Directive], object]:
    def read(run: Run, target: Session, at: Directive) -> object:
        word = at.words[1]
        value = fixed_point(run, at, word, low_ms * 1000, LARGEST_MS * 1000, 3)
        if value is None:
            bounds = f"is not valid (must be in range [{low_ms}-{LARGEST_MS}]), ignoring"
            run.error(f"{TITLE} {target.name} {name} value {word} {bounds}", at, word=1)
            return FAILED
        if value > SENSIBLE_MS * 1000:
            run.log(
                f"Configuration warning: BFD instance {target.name} {name} value {word} "
                f"is larger than max sensible ({SENSIBLE_MS})",
                at,
                code="long-interval",
            )
        return Micros(value)

    return read


def _whole(name: str, low: int, high: int) -> Callable[[Run, Session, Directive], object]:
    def read(run: Run, target: Session, at: Directive) -> object:
        value = integer(run, at, at.words[1], low, high)
        if value is None:
            bounds = f"not valid (must be in range [{low}-{high}]), ignoring"
            run.error(f"{TITLE} {target.name} {name} value {at.words[1]} {bounds}", at, word=1)
            return FAILED
        return value

    return read


def _multihop(run: Run, target: Session, at: Directive) -> object:
    word = values.second(at) or "on"
    if word not in values.BOOLEANS:
        if run.compat >= MULTIHOP_SINCE:  # an older one has said already that it does not know it
            run.error(f"{TITLE} {target.name} multihop setting not valid - {word}", at, word=1)
        return FAILED
    return values.BOOLEANS[word]


def _weight(run: Run, target: Session, at: Directive) -> None:
    """Only VRRP reads it; a missing word stops everything, since BFD comes after VRRP."""
    if not target.readers & VRRP:
        return
    if len(at.words) < 2:
        run.missing_parameter(at, at.keyword, 2)
        return
    word = at.words[1]
    value = integer(run, at, word, -LARGEST_WEIGHT, LARGEST_WEIGHT)
    if value is None:
        bounds = "not valid (must be in range [-253-253]), ignoring"
        run.error(f"{TITLE} {target.name} weight value {word} {bounds}", at, word=1)
    else:
        target.weight = value
        target.given["weight"] = at
    if len(at.words) > 2:
        if at.words[2] == "reverse":
            target.reverse = True
        else:
            message = f"{TITLE} {target.name} unknown weight option {at.words[2]}"
            run.error(message, at, word=2, expected="reverse")


def _told(reader: int) -> Callable[[Run, Session, Directive], None]:
    def read(run: Run, target: Session, at: Directive) -> None:
        target.told |= reader

    return read


def _show_milliseconds(value_us: int) -> Iterable[str]:
    return (values.seconds_text(value_us * 1000),)


def _period(name: str, attribute: str, low_ms: int, default: str, help: str) -> Keyword[Session]:
    return values.converted(
        name,
        attribute,
        _by_bfd(_interval(name, low_ms)),
        f"<DEC {low_ms}..{LARGEST_MS}>",
        required=False,
        default=default,
        unit="ms",
        show=_show_milliseconds,
        schema={"type": "number", "minimum": low_ms, "maximum": LARGEST_MS},
        help=help,
    )


def _count(name: str, attribute: str, low: int, high: int, title: str, **more: Any) -> Keyword[Session]:
    return values.converted(
        name,
        attribute,
        _by_bfd(_whole(title, low, high)),
        f"<INT {low}..{high}>",
        required=False,
        schema={"type": "integer", "minimum": low, "maximum": high},
        **more,
    )


def _event(name: str, reader: int, shown: Callable[[BfdInstance], bool], help: str) -> Keyword[Session]:
    return values.custom(
        name,
        _told(reader),
        required=False,
        default="both processes",
        attribute=WHOLE_RECORD,
        show=lambda record: ("",) if shown(record) else (),
        schema={"type": "boolean"},
        help=help,
    )


def _place(name: str, attribute: str, read: Any, help: str, **more: Any) -> Keyword[Session]:
    return values.converted(
        name,
        attribute,
        _by_bfd(read),
        "<IPADDR>",
        required=False,
        schema={"type": "string"},
        help=help,
        **more,
    )


NEIGHBOUR_HELP = "address of the other end"
TTL_DEFAULT = "255 (IPv6: 64)"

BLOCK: Block[Session] = block(
    "bfd_instance",
    [
        _place("neighbor_ip", "neighbour", _neighbour, NEIGHBOUR_HELP),
        _place("neighbour_ip", "neighbour", _neighbour, NEIGHBOUR_HELP, alias="neighbor_ip"),
        _place("source_ip", "source", _source, "address to send from", default="(kernel)"),
        _period("min_rx", "min_rx_us", 1, "10", "the shortest interval at which we can receive"),
        _period("min_tx", "min_tx_us", 1, "10", "the interval at which we want to send"),
        _period("idle_tx", "idle_tx_us", 1000, "1000", "the interval at which we send while it is down"),
        _count(
            "multiplier",
            "multiplier",
            1,
            LARGEST_MULTIPLIER,
            "multiplier",
            default="5",
            help="packets missed before it is down",
        ),
        values.converted(
            "passive",
            "passive",
            _by_bfd(lambda run, target, at: True, optional=True),
            "",
            required=False,
            default="off",
            show=lambda value: ("",) if value else (),
            schema={"type": "boolean"},
            help="send nothing before the other end does",
        ),
        _count(
            "ttl",
            "ttl",
            1,
            LARGEST_TTL,
            "ttl/hoplimit",
            default=TTL_DEFAULT,
            help="TTL or hop limit of what we send",
        ),
        _count(
            "hoplimit",
            "ttl",
            1,
            LARGEST_TTL,
            "ttl/hoplimit",
            default=TTL_DEFAULT,
            alias="ttl",
            help="TTL or hop limit of what we send",
        ),
        _count(
            "max_hops",
            "max_hops",
            -1,
            LARGEST_TTL,
            "max_hops",
            default="0",
            unit="hops",
            help="how much of its TTL a received packet may have lost; -1: any",
        ),
        values.converted(
            "multihop",
            "multihop",
            _by_bfd(_multihop, optional=True),
            "[<BOOL>]",
            required=False,
            default="off",
            since=MULTIHOP_SINCE,
            pure=False,
            show=values.show_bool,
            schema={"type": "boolean"},
            help="the other end is behind routers: port 4784 (RFC 5883)",
        ),
        values.custom(
            "weight",
            _weight,
            "<INT -253..253> [reverse]",
            required=False,
            default="0",
            attribute=WHOLE_RECORD,
            show=show_weight(0),
            schema=weight_schema(LARGEST_WEIGHT),
            options=(REVERSE,),
            help="change of priority in instances that track it and say nothing else; 0: down is a fault",
        ),
        _event("vrrp", VRRP, lambda record: not record.checker, "tell the VRRP process of its changes"),
        _event("checker", CHECKER, lambda record: not record.vrrp, "tell the checkers of its changes"),
    ],
    record=BfdInstance,
    show_header=lambda record: values.quoted(record.name),
)


def opened(run: Run, target: Written, at: Directive) -> Session | None:
    """The draft of the session; None if nobody would read the block."""
    name = at.words[1]
    instances = run.written.bfd_instances
    readers = EVERYBODY
    known = instances.get(name)
    if known is not None and known.vrrp:
        readers &= ~VRRP
    if known is not None and known.checker:
        readers &= ~CHECKER
    if known is not None and (known.vrrp or known.checker):
        run.error(f"BFD {name} already specified", at, word=1, code="duplicate")
    if values.size(name) > LONGEST_NAME:
        run.error(f"BFD name {name} too long", at, word=1, code="name-too-long")
        readers &= ~VRRP
    last = next(reversed(instances.values()), None)
    stopped = last is not None and last.stopped
    if stopped or not _said_by_bfd(run, _bfd_takes, name, known, at):
        readers &= ~BFD
    if not readers:
        return None
    return Draft(BfdInstance, at, name=name, readers=readers, told=0, dropped=False, stopped=stopped)


def _bfd_takes(run: Run, name: str, known: Session | None, at: Directive) -> bool:
    if values.size(name) > LONGEST_NAME:
        run.error(
            f"{TITLE} {name} name too long (maximum length is {LONGEST_NAME} characters) - ignoring",
            at,
            word=1,
            code="name-too-long",
        )
        return False
    if known is not None and not known.dropped:
        run.error(f"{TITLE} {name} already configured - ignoring", at, word=1, code="duplicate")
        return False
    return True


def closed(run: Run, session: Session, at: Directive) -> None:
    """What BFD checks at the end, and who knows the name from here on."""
    readers = session.readers
    if readers & BFD:
        session.dropped = not _said_by_bfd(run, _complete, session, at)
    else:
        session.dropped = True
    told = session.told or EVERYBODY
    session.vrrp, session.checker = bool(readers & told & VRRP), bool(readers & told & CHECKER)
    _remember(run.written.bfd_instances, session)


def _remember(instances: dict[str, Session], session: Session) -> None:
    """Keep it; a second one of its name only adds those who had not taken the first."""
    known = instances.pop(session.name, None)
    if known is None:
        known = session
    elif known.dropped and not session.dropped:
        session.vrrp, session.checker = session.vrrp or known.vrrp, session.checker or known.checker
        known = session
    else:
        known.vrrp, known.checker = known.vrrp or session.vrrp, known.checker or session.checker
        known.stopped = known.stopped or session.stopped
    instances[session.name] = known


def _complete(run: Run, session: Session, at: Directive) -> bool:
    """Whether BFD can use it; fills in the TTL."""
    end = closing(at)
    title = f"{TITLE} {session.name}"
    if not session.written("neighbour"):
        run.error(f"{title} has no neighbor address set, disabling instance", end, code="missing-value")
        return False
    neighbour, source = session.neighbour, session.source
    if source is not None and source.version != neighbour.version:
        # keepalived means to show both, but shows the source twice.
        run.error(
            f"{title} source address {source} and neighbor address {source} "
            "are not of the same family, disabling instance",
            end,
            code="family-mismatch",
            notes=(f"the neighbour is {neighbour}",),
        )
        return False
    if _clashes(run, session):
        both = f"source/neighbor address {source}/{neighbour}" if source else f"neighbor address {neighbour}"
        run.error(f"{title} has duplicate {both}, ignoring instance", end, code="duplicate")
        return False
    session.ttl = session.ttl or (TTL if neighbour.version == 4 else HOP_LIMIT)
    if session.max_hops % 256 > session.ttl:  # kept in a byte: -1 is 255
        message = f"BFD instance {session.name}: max_hops exceeds ttl/hoplimit - setting to ttl/hoplimit"
        run.error(message, end, code="invalid-value", expected=f"at most {session.ttl}")
        session.max_hops = session.ttl
    return True


def _clashes(run: Run, session: Session) -> bool:
    """Whether an earlier session has the pair of addresses, or one with no source has the neighbour."""
    by_hops = run.compat >= MULTIHOP_SINCE
    return any(
        not other.dropped
        and other.neighbour == session.neighbour
        and (other.multihop == session.multihop or not by_hops)
        and (other.source is None or session.source is None or other.source == session.source)
        for other in run.written.bfd_instances.values()
    )
