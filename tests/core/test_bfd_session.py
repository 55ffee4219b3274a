"""The state machine and the timers of BFD sessions, in virtual time."""

from itertools import pairwise
from random import Random

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.core.bfd import session as fold
from keepalived_py.core.bfd.state import Chance, Effect, SendPacket, Session, Tell
from keepalived_py.core.bfd.timing import DRAWN, detection_time, jittered, transmit_interval
from keepalived_py.model.bfd_packet import ControlPacket, Diagnostic, State
from keepalived_py.model.effects import WriteLog
from tests.core.bfd_pair import DELAY_US, Pair, instance

S = 1_000_000
MS = 1000


def up(**settings: int) -> Pair:
    """A pair that has come up and agreed on its intervals."""
    pair = Pair(instance(0, **settings), instance(1, **settings))
    pair.run(3 * S)
    assert pair.both_up() and not any(end.poll for end in pair.ends)
    pair.sent.clear()
    pair.told.clear()
    pair.lines.clear()
    return pair


def intervals(pair: Pair, end: int) -> list[int]:
    """Between the packets of one end."""
    times = [at for at, one, _ in pair.sent if one == end]
    return [later - earlier for earlier, later in pairwise(times)]


# -- coming up -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_comes_up(seed: int) -> None:
    """At once: nobody waits for the next idle packet to say that something has changed."""
    pair = Pair(instance(0), instance(1), seed)
    pair.run(100 * MS)
    assert pair.both_up()
    assert [(end, state) for _, end, state in sorted(pair.told)] == [(0, True), (1, True)] or len(
        pair.told
    ) == 2
    assert all(session.detection == 50 * MS for session in pair.ends)
    assert not any(session.poll for session in pair.ends)


def test_first_packets() -> None:
    pair = Pair(instance(0), instance(1))
    pair.run(0)
    _, _, first = pair.sent[0]
    mine = pair.ends[0].discriminator
    assert first == ControlPacket(State.DOWN, mine, 0, S, 10 * MS, 5)


def test_lines_are_keepaliveds() -> None:
    pair = Pair(instance(0), instance(1))
    pair.run(100 * MS)
    texts = pair.texts(0)
    assert texts[0] == "(b0) ---------------< Session parameters >--------------"
    assert texts[1] == "              min_tx  min_rx  tx_intv  mult  detect_time"
    assert "(b0) Entering Up state" in texts and "(b0) Starting poll sequence" in texts
    assert "     Detection time is 50000 us (was 5000000 us)" in texts
    local = [text for text in texts if text.startswith("     local")]
    assert local[-1] == "     local     10000   10000    10000     5        50000"


@pytest.mark.parametrize("lossy", [0, 1])
def test_comes_up_over_a_lossy_line(lossy: int) -> None:
    """Each second packet of one end is lost."""
    pair = Pair(instance(0), instance(1))
    count = 0

    def passes(end: int, packet: ControlPacket) -> bool:
        nonlocal count
        count += end == lossy
        return end != lossy or count % 2 == 0

    pair.passes = passes
    pair.run(10 * S)
    assert pair.both_up()
    assert [up for _, _, up in pair.told] == [True, True]


def test_passive_end_waits() -> None:
    pair = Pair(instance(0, passive=True), instance(1, passive=True))
    pair.run(10 * S)
    assert pair.sent == []
    pair = Pair(instance(0, passive=True), instance(1))
    pair.run(3 * S)
    assert pair.both_up()
    pair.dead.add(1)
    pair.run(60 * MS)
    assert pair.ends[0].state is State.DOWN
    pair.sent.clear()
    pair.run(10 * S)
    assert pair.sent == []


# -- being up ----------------------------------------------------------------------


@pytest.mark.parametrize(("multiplier", "least", "most"), [(1, 750, 900), (2, 750, 1000), (5, 750, 1000)])
def test_jitter(multiplier: int, least: int, most: int) -> None:
    interval = Micros(10_000)
    chance = Random(9)
    drawn = [jittered(interval, multiplier, chance.getrandbits(32)) for _ in range(5000)]
    assert min(drawn) >= least * 10 and max(drawn) <= most * 10
    assert min(drawn) < least * 10 + 50 and max(drawn) > most * 10 - 50
    assert jittered(interval, multiplier, DRAWN - 1) >= least * 10


def test_packets_are_spread() -> None:
    pair = up(min_tx_us=10 * MS)
    pair.run(5 * S)
    found = intervals(pair, 0)
    assert 7500 <= min(found) < 7700 and 9800 < max(found) <= 10_000
    assert 500 < len(found) < 700


def test_slower_of_both_counts() -> None:
    pair = Pair(
        instance(0, min_tx_us=10 * MS, min_rx_us=40 * MS), instance(1, min_tx_us=20 * MS, min_rx_us=30 * MS)
    )
    pair.run(3 * S)
    assert [end.tx_interval for end in pair.ends] == [30 * MS, 40 * MS]
    assert [end.detection for end in pair.ends] == [200 * MS, 150 * MS]
    assert transmit_interval(10, 30) == 30 and detection_time(5, 40, 20) == 200


def test_poll_is_answered_at_once_and_never_with_a_poll() -> None:
    pair = up()
    session = pair.ends[0]
    pair.take(0, session._replace(poll=True), [])
    poll = fold.packet_of(pair.ends[1])._replace(poll=True)
    pair.sent.clear()
    pair.hear(0, poll)
    (at, end, answer) = pair.sent[0]
    assert (at, end, answer.final, answer.poll) == (pair.now, 0, True, False)
    assert pair.ends[0].poll
    pair.run(100 * MS)
    assert not any(packet.poll and packet.final for _, _, packet in pair.sent)
    assert not pair.ends[0].poll


def test_demand_silences_us() -> None:
    pair = up()
    pair.dead.add(1)
    theirs = fold.packet_of(pair.ends[1])._replace(demand=True)
    pair.hear(0, theirs)
    pair.sent.clear()
    pair.run(40 * MS)
    assert pair.sent == []
    pair.hear(0, theirs._replace(poll=True))
    assert [packet.final for _, _, packet in pair.sent] == [True]
    pair.hear(0, theirs._replace(demand=False))
    pair.sent.clear()
    pair.run(40 * MS)
    assert len(pair.sent) >= 3


def test_demand_does_not_stop_a_poll() -> None:
    pair = up()
    pair.dead.add(1)
    pair.hear(0, fold.packet_of(pair.ends[1])._replace(demand=True))
    pair.replace(0, instance(0, min_tx_us=9 * MS))
    pair.run(40 * MS)
    assert len(pair.sent) >= 3 and all(packet.poll for _, _, packet in pair.sent[1:])


def test_a_rate_below_the_idle_one_waits_for_the_end_of_the_poll() -> None:
    pair = Pair(instance(0, min_tx_us=3 * S), instance(1))
    pair.passes = lambda end, packet: not packet.final
    pair.run(5 * S)
    assert (pair.both_up(), pair.ends[0].tx_interval, pair.ends[0].poll) == (True, S, True)
    pair.passes = lambda end, packet: True
    pair.run(5 * S)
    assert (pair.both_up(), pair.ends[0].tx_interval, pair.ends[0].poll) == (True, 3 * S, False)
    assert [state for _, _, state in pair.told] == [True, True]


def test_whoever_cannot_hear_is_not_sent_to() -> None:
    """Required Min RX Interval 0 (RFC 5880 section 6.8.7)."""
    pair = up()
    pair.dead.add(1)
    pair.hear(0, fold.packet_of(pair.ends[1])._replace(required_min_rx_us=0))
    pair.sent.clear()
    pair.run(40 * MS)
    assert pair.sent == [] and pair.ends[0].up


# -- going down --------------------------------------------------------------------


def test_silence_is_noticed_after_the_detection_time() -> None:
    pair = up()
    seen = pair.ends[0].last_seen
    assert seen is not None
    before = pair.ends[0].discriminator
    pair.dead.add(1)
    pair.run(200 * MS)
    (at, _, state) = pair.told[0]
    assert not state and 50 * MS <= at - seen <= 50 * MS + 2 * DELAY_US + 10 * MS
    session = pair.ends[0]
    assert session.state is State.DOWN and session.diagnostic is Diagnostic.EXPIRED
    assert session.remote.discriminator == 0 and session.discriminator != before and session.lost == 1
    assert pair.texts(0)[:2] == [
        "(b0) Expired after 50 ms (0 usec overdue)",
        "(b0) Entering Down state (Local diagnostic - Control Detection Time Expired, "
        "Remote diagnostic - No Diagnostic)",
    ]
    # Told at once, then at the idle rate.
    downs = [(time, packet) for time, end, packet in pair.sent if end == 0 and time >= at]
    assert [time for time, _ in downs] == [at]
    assert downs[0][1].diagnostic == Diagnostic.EXPIRED and downs[0][1].desired_min_tx_us == S


def test_one_way_failure_takes_both_down() -> None:
    pair = up()
    pair.passes = lambda end, packet: end != 0
    pair.run(200 * MS)
    assert [state for _, _, state in pair.told] == [False, False]
    said = [text for text in pair.texts(0) if "Entering Down" in text]
    assert said == [
        "(b0) Entering Down state (Local diagnostic - Neighbor Signaled Session Down, "
        "Remote diagnostic - Control Detection Time Expired)"
    ]
    pair.passes = lambda end, packet: True
    pair.run(3 * S)
    assert pair.both_up()


def test_restart_of_the_other_end_is_noticed() -> None:
    pair = up()
    pair.take(1, fold.begin(instance(1), Micros(pair.now), pair.draw()), [])
    pair.run(3 * S)
    assert pair.both_up()
    assert [state for _, end, state in pair.told if end == 0] == [False, True]


def test_a_switched_off_neighbour_is_no_news() -> None:
    """Down for us, but nobody is told (keepalived; RFC 5882 section 3.2); back again when it is."""
    pair = up()
    pair.close(1)
    assert pair.texts(1) == ["(b1) Entering AdminDown state"]
    pair.run(300 * MS)
    assert pair.ends[0].state is State.DOWN and pair.told == []
    assert pair.ends[0].remote.state == State.ADMIN_DOWN
    pair.run(6 * S)
    assert pair.ends[0].remote.discriminator == 0 and pair.told == []
    pair.dead.clear()
    pair.take(1, fold.reopen(pair.ends[1], Micros(pair.now), pair.draw()), [])
    pair.run(3 * S)
    assert pair.both_up()


def test_nobody_is_told_of_the_end_of_a_session_that_never_was() -> None:
    pair = Pair(instance(0), instance(1))
    pair.close(1)
    assert pair.sent == [] and pair.texts(1) == ["(b1) Entering AdminDown state"]


def test_an_end_in_admin_down_is_deaf() -> None:
    pair = up()
    other = fold.packet_of(pair.ends[1])
    pair.close(0)
    out: list[Effect] = []
    closed = pair.ends[0]
    assert fold.on_packet(closed, other._replace(poll=True), Micros(pair.now), pair.draw(), out) is closed
    assert out == [] and closed.next_deadline is None
    fold.close(closed, out)
    assert out == []


# -- reload --------------------------------------------------------------------------


def test_nothing_changed() -> None:
    pair = up()
    before = pair.ends[0]
    pair.replace(0, instance(0))
    assert pair.ends[0] is before and pair.lines == []


def test_slower_sending_waits_for_the_end_of_the_poll() -> None:
    pair = up()
    pair.passes = lambda end, packet: not packet.final
    pair.replace(0, instance(0, min_tx_us=200 * MS))
    assert pair.texts(0) == ["(b0) Starting poll sequence"]
    pair.run(200 * MS)
    assert pair.ends[0].tx_interval == 10 * MS and pair.both_up()
    pair.passes = lambda end, packet: True
    pair.run(S)
    assert pair.ends[0].tx_interval == 200 * MS and pair.ends[1].detection == S
    assert pair.told == [] and pair.both_up()


def test_hearing_faster_waits_for_the_end_of_the_poll() -> None:
    pair = up(min_rx_us=100 * MS)
    assert pair.ends[0].detection == 500 * MS
    pair.passes = lambda end, packet: not packet.final
    pair.replace(0, instance(0, min_rx_us=10 * MS))
    pair.run(300 * MS)
    assert pair.ends[0].detection == 500 * MS
    pair.passes = lambda end, packet: True
    pair.run(S)
    assert pair.ends[0].detection == 50 * MS and pair.told == []


def test_longer_detection_time_holds_at_once() -> None:
    """It counts from the last packet that came."""
    pair = up()
    pair.dead.add(1)
    pair.replace(0, instance(0, min_rx_us=100 * MS))
    pair.run(450 * MS)
    assert pair.ends[0].up
    pair.run(60 * MS)
    assert not pair.ends[0].up


def test_every_change_of_intervals_keeps_it_up() -> None:
    pair = up()
    chance = Random(4)
    steps = [5 * MS, 10 * MS, 70 * MS, 300 * MS, 2 * S]
    for _ in range(40):
        end = chance.randrange(2)
        change = {"min_tx_us": chance.choice(steps), "min_rx_us": chance.choice(steps)}
        pair.replace(end, instance(end, **change, multiplier=chance.randrange(3, 7)))
        pair.run(chance.choice([0, 5 * MS, 100 * MS, 3 * S]))
    pair.run(20 * S)
    assert pair.told == [] and pair.both_up()


def test_reload_while_down() -> None:
    pair = Pair(instance(0), instance(1))
    pair.dead.add(1)
    pair.run(S)
    pair.replace(0, instance(0, idle_tx_us=3 * S))
    assert pair.ends[0].tx_interval == 3 * S and not pair.ends[0].poll


# -- whatever comes --------------------------------------------------------------------


def some_packet(chance: Random, session: Session) -> ControlPacket:
    """One that passes the checks of `checking`, with fields at their limits."""
    numbers = [0, 1, 10 * MS, S, 0xFFFFFFFF]
    poll, final = chance.choice([(False, False), (True, False), (False, True)])
    return ControlPacket(
        chance.randrange(4),
        chance.choice([1, 5, 0xFFFFFFFF]),
        session.discriminator,
        chance.choice(numbers),
        chance.choice(numbers),
        chance.choice([1, 3, 255]),
        poll,
        final,
        chance.randrange(9),
        chance.random() < 0.2,
    )


@pytest.mark.parametrize("seed", range(40))
def test_any_packets_in_any_order(seed: int) -> None:
    """The others hear of each change, and what is said obeys the RFC whatever comes."""
    chance = Random(seed)
    passive = seed % 3 == 0
    now = 5 * S
    session = fold.begin(instance(0, passive=passive), Micros(now), Chance(0, 9))
    told = quiet = False
    for _ in range(500):
        out: list[Effect] = []
        drawn = Chance(chance.getrandbits(32), chance.getrandbits(31) + 1)
        now += chance.choice([0, 100, 3 * MS, 60 * MS, 2 * S])
        if chance.random() < 0.6:
            packet = some_packet(chance, session)
            quiet = quiet or (packet.state == State.ADMIN_DOWN and session.up)
            session = fold.on_packet(session, packet, Micros(now), drawn, out)
            answers = [effect for effect in out if isinstance(effect, SendPacket) and effect.packet.final]
            assert len(answers) == packet.poll
        else:
            session = fold.on_tick(session, Micros(now), drawn, out)
            due = session.next_deadline
            assert due is None or due > now
        for effect in out:
            if isinstance(effect, Tell):
                # A neighbour that was switched off took it down without a word.
                assert effect.up is not told or (effect.up and quiet)
                told, quiet = effect.up, False
            elif isinstance(effect, SendPacket):
                assert not (effect.packet.poll and effect.packet.final)
                assert effect.packet.my_discriminator and effect.packet.multiplier == 5
            else:
                assert isinstance(effect, WriteLog)
        assert session.discriminator != 0
        assert not session.up or told
        if session.state in (State.INIT, State.UP):
            assert session.silent_at is not None and session.remote.discriminator
        if passive and not session.remote.discriminator:
            assert session.send_at is None
