"""The session of two members: handshakes, restarts, repetitions, forgeries, and a hostile network."""

import random
from collections.abc import Callable

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import MemberId
from keepalived_py.base.record import replace
from keepalived_py.election.raft.session import CLONED_US, LONGEST_FRAME, Reason, Session
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import RaftCluster, RaftMember

A, B, C = MemberId("a"), MemberId("b"), MemberId("c")
KEY = b"k" * 32


def cluster_of(own: MemberId, key: bytes = KEY, name: str = "cluster") -> RaftCluster:
    members = tuple(RaftMember(each, Endpoint(f"10.0.0.{at}", 7000)) for at, each in enumerate((A, B, C), 1))
    return RaftCluster(name, own, members, key=key)


class Pair:
    """Two sessions and a network that delivers at once, or keeps what it is told to keep."""

    def __init__(self, key: bytes = KEY, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.key = key
        self.now = Micros(1_000_000)
        self.got: list[tuple[MemberId, bytes]] = []
        self.refused: list[Reason] = []
        self.cloned = 0
        self.wire: list[tuple[MemberId, bytes]] = []
        self.sessions = {member: self.born(member) for member in (A, B)}

    def born(self, member: MemberId, key: bytes | None = None, name: str = "cluster") -> Session:
        return Session(cluster_of(member, self.key if key is None else key, name), self.random.randbytes)

    def send(self, sender: MemberId, body: bytes) -> None:
        to = B if sender == A else A
        self.wire += [(to, frame) for frame in self.sessions[sender].frames(to, body, self.now)]

    def hear(
        self, receiver: MemberId, frame: bytes, is_from: Callable[[MemberId], bool] = lambda _: True
    ) -> int:
        """How many bytes are answered."""
        outcome = self.sessions[receiver].hear(frame, is_from, self.now)
        if outcome.body is not None:
            self.got.append((receiver, outcome.body))
        if outcome.refused is not None:
            self.refused.append(outcome.refused)
        self.cloned += outcome.cloned
        other = B if receiver == A else A
        self.wire += [(other, reply) for reply in outcome.replies]
        return sum(len(reply) for reply in outcome.replies)

    def settle(self) -> list[tuple[MemberId, bytes]]:
        """Deliver everything; the frames that were on the wire."""
        seen = []
        while self.wire:
            seen.append(self.wire.pop(0))
            self.hear(*seen[-1])
        return seen

    def say(self, sender: MemberId, body: bytes) -> list[tuple[MemberId, bytes]]:
        self.send(sender, body)
        return self.settle()

    def later(self, us: int = 200_000) -> None:
        self.now = Micros(self.now + us)


@pytest.fixture(params=[KEY, b""], ids=["signed", "unsigned"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def test_first_message_arrives_after_one_round_trip_and_a_half(pair: Pair) -> None:
    frames = pair.say(A, b"one")
    assert pair.got == [(B, b"one")]
    assert [to for to, _ in frames] == [B, A, B]
    # From then on both have what they need.
    assert len(pair.say(B, b"two")) == 1
    assert len(pair.say(A, b"three")) == 1
    assert pair.got[1:] == [(A, b"two"), (B, b"three")]
    assert not pair.refused


def test_both_begin_at_once(pair: Pair) -> None:
    pair.send(A, b"one")
    pair.send(B, b"two")
    pair.settle()
    assert sorted(pair.got) == [(A, b"two"), (B, b"one")]
    assert not pair.refused


@pytest.mark.parametrize("restarted", [A, B])
@pytest.mark.parametrize("speaks", [A, B])
def test_traffic_goes_on_after_a_restart(pair: Pair, restarted: MemberId, speaks: MemberId) -> None:
    pair.say(A, b"one")
    pair.later()
    pair.sessions[restarted] = pair.born(restarted)
    pair.say(speaks, b"two")
    pair.say(A, b"three")
    pair.say(B, b"four")
    assert pair.got[-2:] == [(B, b"three"), (A, b"four")]
    assert pair.cloned == 0


def test_only_the_latest_waits_for_the_handshake(pair: Pair) -> None:
    pair.send(A, b"one")
    pair.send(A, b"two")
    assert len(pair.wire) == 1
    pair.settle()
    assert pair.got == [(B, b"two")]


def test_what_waited_too_long_is_not_sent(pair: Pair) -> None:
    pair.send(A, b"one")
    pair.later(1_500_000)
    pair.settle()
    assert not pair.got
    pair.say(A, b"two")
    assert pair.got == [(B, b"two")]


def test_greetings_are_rate_limited_and_repeated(pair: Pair) -> None:
    for _ in range(100):
        pair.send(A, b"x")
        pair.later(10_000)
    assert len(pair.wire) == 10


def test_slow_answers_still_count(pair: Pair) -> None:
    pair.send(A, b"x")
    hello = pair.wire.pop()
    pair.later(400_000)
    pair.send(A, b"x")
    pair.wire.clear()
    pair.hear(*hello)
    pair.settle()
    assert pair.got == [(B, b"x")]


def test_repeated_frames_are_refused(pair: Pair) -> None:
    pair.say(A, b"one")
    frames = [pair.say(A, b"%d" % number)[0] for number in range(100)]
    pair.got.clear()
    for frame in frames:
        pair.hear(*frame)
    assert not pair.got
    assert pair.refused == [Reason.REPEATED] * 100


def test_some_disorder_is_no_harm(pair: Pair) -> None:
    pair.say(A, b"one")
    pair.got.clear()
    for number in range(130):
        pair.send(A, b"%d" % number)
    frames, pair.wire = pair.wire, []
    for frame in [*reversed(frames[66:]), frames[65], *frames]:
        pair.hear(*frame)
    # 64 of them may come in any order, an older one is lost.
    assert [int(body) for _, body in pair.got] == list(range(129, 65, -1))


def test_frames_of_an_earlier_life_of_either_side_are_refused(pair: Pair) -> None:
    old = pair.say(A, b"one") + pair.say(A, b"two") + pair.say(B, b"three")
    for member in (A, B, A):
        pair.later()
        pair.sessions[member] = pair.born(member)
        pair.say(A, b"x")
        pair.say(B, b"y")
        pair.got.clear()
        for frame in old:
            pair.hear(*frame)
        pair.settle()
        assert not pair.got
        assert len(pair.say(A, b"z")) == 1, "the recording did not disturb anything"
        old += pair.say(B, b"z")
    assert pair.cloned == 0


def test_recorded_welcome_does_not_answer_a_new_greeting(pair: Pair) -> None:
    welcome = pair.say(A, b"one")[1]
    pair.hear(*welcome)
    assert pair.refused == [Reason.UNASKED]


def test_two_machines_with_one_identity_are_noticed_and_not_listened_to(pair: Pair) -> None:
    pair.say(A, b"one")
    first, second = pair.sessions[A], pair.born(A)
    pair.got.clear()
    for number in range(20):
        pair.later()
        pair.sessions[A] = second if number % 2 == 0 else first
        pair.say(A, b"x")
    assert pair.cloned > 0
    delivered = [body for to, body in pair.got if to == B]
    assert len(delivered) <= 2, "at most the life that seemed to be a restart is heard"
    pair.sessions[A] = first
    pair.say(A, b"x")
    pair.later(CLONED_US + 1)
    pair.got.clear()
    pair.say(A, b"alone again")
    pair.say(A, b"alone again")
    assert (B, b"alone again") in pair.got


def test_a_second_machine_that_only_greets_is_noticed(pair: Pair) -> None:
    pair.say(A, b"one")
    pair.say(B, b"two")
    other = pair.born(A)
    for _ in range(40):
        pair.later()
        for frame in other.frames(B, b"x", pair.now):
            pair.hear(B, frame)
        pair.wire.clear()
        pair.say(A, b"still here")
    assert pair.cloned > 0
    assert len([body for to, body in pair.got if to == B]) == 41


def forged(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :]


def test_no_changed_bit_gets_through() -> None:
    pair = Pair()
    pair.say(A, b"one")
    pair.send(A, b"body")
    to, frame = pair.wire.pop()
    pair.got.clear()
    for at in range(len(frame)):
        assert pair.hear(to, forged(frame, at)) == 0
    for length in range(len(frame)):
        assert pair.hear(to, frame[:length]) == 0
    assert pair.hear(to, frame + b"x") == 0
    assert not pair.got
    pair.hear(to, frame)
    assert pair.got == [(B, b"body")]


@pytest.mark.parametrize(
    ("key", "name", "ours", "reason"),
    [
        (b"other" * 8, "cluster", KEY, Reason.SIGNATURE),
        (b"", "cluster", KEY, Reason.UNSIGNED),
        (KEY, "cluster", b"", Reason.SIGNED),
        (KEY, "other", KEY, Reason.CLUSTER),
    ],
)
def test_other_keys_and_clusters(key: bytes, name: str, ours: bytes, reason: Reason) -> None:
    pair = Pair(ours)
    pair.sessions[B] = pair.born(B, key, name)
    pair.say(B, b"x")
    assert pair.refused == [reason]
    assert not pair.got


def test_a_frame_for_one_member_is_nothing_for_another() -> None:
    pair = Pair()
    frames = pair.say(A, b"one")
    third = pair.born(C)
    for to, frame in frames:
        outcome = third.hear(frame, lambda _: True, pair.now)
        assert outcome.body is None and to in (A, B)
    back = pair.sessions[A].hear(frames[0][1], lambda _: True, pair.now)
    assert back.refused is Reason.OWN


def test_without_a_key_the_address_must_be_the_members() -> None:
    pair = Pair(b"")
    pair.send(A, b"one")
    to, frame = pair.wire.pop()
    assert pair.hear(to, frame, lambda _: False) == 0
    assert pair.refused == [Reason.ADDRESS]


def test_with_a_key_the_address_does_not_matter() -> None:
    pair = Pair()
    pair.send(A, b"one")
    to, frame = pair.wire.pop()
    assert pair.hear(to, frame, lambda _: False) > 0


def test_a_blind_forger_without_a_key_gets_nothing_through() -> None:
    """Who can write any source address but cannot read along: no answer, no ticket."""
    pair = Pair(b"")
    pair.say(A, b"one")
    forger = Pair(b"", seed=99)
    forger.say(A, b"evil")
    for frame in forger.say(A, b"evil") + forger.say(A, b"evil"):
        pair.hear(*frame)
        pair.settle()
    assert (B, b"evil") not in pair.got


def test_nobody_is_answered_with_more_than_he_sent(pair: Pair) -> None:
    source = random.Random(7)
    frames = [frame for _, frame in pair.say(A, b"one") + pair.say(B, b"two")]
    for _ in range(2_000):
        frame = bytearray(source.choice(frames))
        for _ in range(source.randrange(4)):
            frame[source.randrange(len(frame))] = source.randrange(256)
        del frame[source.randrange(len(frame)) if source.random() < 0.3 else len(frame) :]
        pair.later(source.randrange(30_000))
        assert pair.hear(source.choice((A, B)), bytes(frame)) <= len(frame)


def test_a_flood_of_recorded_greetings_is_answered_a_limited_number_of_times(pair: Pair) -> None:
    hello = pair.say(A, b"one")[0]
    for _ in range(1_000):
        pair.later(1_000)
        pair.hear(*hello)
    assert len(pair.wire) == 50
    assert pair.refused.count(Reason.LIMITED) == 950


def test_a_flood_of_recorded_greetings_does_not_keep_a_new_life_out(pair: Pair) -> None:
    recorded = []
    for _ in range(8):
        recorded.append(pair.say(A, b"one")[0])
        pair.sessions[A] = pair.born(A)
        pair.later()
    for _ in range(200):
        pair.later(100)
        for hello in recorded:
            pair.hear(*hello)
    pair.wire.clear()
    pair.say(A, b"new")
    assert pair.got[-1] == (B, b"new")


def test_greetings_of_invented_lives_are_limited_together() -> None:
    pair = Pair(b"")
    hello = pair.say(A, b"one")[0][1]
    for number in range(10_000):
        pair.hear(B, hello[:37] + number.to_bytes(16, "big") + hello[53:])
    assert len(pair.wire) <= 102


def test_frames_that_are_too_long_are_refused(pair: Pair) -> None:
    pair.hear(A, bytes(LONGEST_FRAME + 1))
    assert pair.refused == [Reason.TOO_LONG]


def test_members_that_stay_keep_their_session_over_a_reload(pair: Pair) -> None:
    pair.say(A, b"one")
    smaller = cluster_of(B, pair.key)
    pair.sessions[B].replace(replace(smaller, members=smaller.members[:2]))
    assert len(pair.say(A, b"two")) == 1
    assert pair.got[-1] == (B, b"two")
    assert pair.sessions[B].members == (A,)
    with pytest.raises(KeyError):
        pair.sessions[B].frames(C, b"x", pair.now)


class Network(Pair):
    """Loses, repeats, delays and changes frames, keeps recordings, and lets members start anew.

    Bodies are `life/number`; `violations` is what must never happen.
    """

    def __init__(self, key: bytes, seed: int) -> None:
        super().__init__(key, seed)
        self.recorded: list[tuple[MemberId, bytes]] = []
        self.lives = {A: 0, B: 0}
        self.number = 0
        self.violations: list[str] = []
        self.known: set[tuple[MemberId, bytes]] = set()
        self.newest_life = {A: 0, B: 0}
        self.sent_bodies: set[bytes] = set()

    def turn(self, hostile: bool) -> None:
        chance = self.random.random
        self.later(self.random.randrange(60_000))
        if hostile and chance() < 0.01:
            member = self.random.choice((A, B))
            self.sessions[member] = self.born(member)
            self.lives[member] += 1
        for sender in (A, B):
            self.number += 1
            body = b"%d/%d" % (self.lives[sender], self.number)
            self.sent_bodies.add(body)
            self.send(sender, body)
        self.recorded += self.wire[: self.random.randrange(3)]
        if hostile and self.recorded and chance() < 0.5:
            self.wire.append(self.random.choice(self.recorded))
        self.random.shuffle(self.wire)
        for _ in range(self.random.randrange(len(self.wire) + 2)):
            if self.wire:
                self.deliver(self.wire.pop(0), hostile)

    def deliver(self, packet: tuple[MemberId, bytes], hostile: bool) -> None:
        if hostile and self.random.random() < 0.1:
            return
        to, frame = packet
        if hostile and self.key and self.random.random() < 0.05:
            frame = forged(frame, self.random.randrange(len(frame)))
        before = len(self.got)
        self.hear(to, frame)
        if hostile and self.random.random() < 0.1:
            self.hear(to, frame)
        for receiver, body in self.got[before:]:
            self.check(receiver, body)

    def check(self, receiver: MemberId, body: bytes) -> None:
        sender = B if receiver == A else A
        if body not in self.sent_bodies:
            self.violations.append(f"changed: {body!r}")
            return
        life = int(body.partition(b"/")[0])
        if (receiver, body) in self.known:
            self.violations.append(f"delivered twice: {body!r}")
        if life < self.newest_life[sender]:
            self.violations.append(f"of an earlier life: {body!r}")
        self.newest_life[sender] = life
        self.known.add((receiver, body))


def play(key: bytes, seed: int) -> Network:
    network = Network(key, seed)
    for _ in range(600):
        network.turn(hostile=True)
    network.wire.clear()
    network.later()
    for _ in range(3):
        network.later()
        network.got.clear()
        network.say(A, b"end")
        network.say(B, b"end")
    return network


@pytest.mark.parametrize("seed", range(25))
def test_hostile_network(pair: Pair, seed: int) -> None:
    network = play(pair.key, seed)
    assert network.violations == []
    assert len(network.known) > 100, "something got through"
    assert sorted(network.got) == [(A, b"end"), (B, b"end")], "and it does when the network is good again"
    assert network.cloned == 0


# -- what the kernel may look for in a flood ---------------------------------------------


def shows(session: Session, frame: bytes) -> bool:
    """Whether a frame shows one of the proofs that a session names."""
    return any(
        frame[at : at + len(secret)] == secret
        and (not least or int.from_bytes(frame[number_at : number_at + 4], "big") >= least)
        for at, secret, number_at, least in session.proofs
    )


def test_only_first_greetings_show_no_proof(pair: Pair) -> None:
    told = []
    for member, body in ((A, b"one"), (B, b"two"), (A, b"three")):
        pair.send(member, body)
        while pair.wire:
            to, frame = pair.wire.pop(0)
            told.append((frame[4] & 0x7F, shows(pair.sessions[to], frame)))
            pair.hear(to, frame)
    assert told == [(1, False), (2, True), (3, True), (3, True), (3, True)]


def test_a_new_life_shows_the_ticket_that_it_was_given(pair: Pair) -> None:
    pair.say(A, b"one")
    pair.sessions[A] = pair.born(A)
    pair.later()
    pair.send(A, b"two")
    (_, greeting) = pair.wire.pop()
    pair.hear(B, greeting)
    (_, welcome) = pair.wire.pop()
    pair.hear(A, welcome)
    (_, data) = pair.wire.pop()
    assert not shows(pair.born(B), data)
    assert shows(pair.sessions[B], data)


def test_what_was_recorded_long_ago_shows_none(pair: Pair) -> None:
    pair.say(A, b"one")
    (_, old) = pair.say(A, b"two")[0]
    assert shows(pair.sessions[B], old)
    for _ in range(70):
        pair.say(A, b"more")
    assert not shows(pair.sessions[B], old)
    assert len(pair.sessions[B].proofs) == 2


def test_what_came_before_is_refused_without_a_look_at_its_signature() -> None:
    made = Pair()
    made.say(A, b"one")
    (_, frame) = made.say(A, b"two")[0]
    made.hear(B, frame[:-1] + bytes([frame[-1] ^ 1]))
    assert made.refused == [Reason.REPEATED]


def test_a_member_that_was_out_of_the_list_for_a_while_goes_on(pair: Pair) -> None:
    """Its numbers go on where they were, and what it sent before is no better than it was."""
    for _ in range(5):
        pair.say(A, b"before")
    (_, old) = pair.say(B, b"old")[0]
    a = pair.sessions[A]
    cluster = cluster_of(A, pair.key)
    a.replace(replace(cluster, members=tuple(each for each in cluster.members if each.id != B)))
    assert a.members == (C,)
    assert a.hear(old, lambda _: True, pair.now).refused is Reason.SENDER
    a.replace(cluster)
    pair.got.clear()
    pair.hear(A, old)
    pair.later()
    pair.say(A, b"after")
    pair.say(B, b"and back")
    assert pair.got == [(B, b"after"), (A, b"and back")]
