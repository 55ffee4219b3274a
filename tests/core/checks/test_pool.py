"""One virtual server's life, line by line as keepalived was seen to live it."""

from keepalived_py.model.globals import Lvs, LvsFlush
from tests.core.checks.pool_play import VS, Play, name, real, script, sorry, virtual


def test_a_server_fails_and_the_sorry_server_serves() -> None:
    play = Play(
        virtual(
            real(11, weight=3, notify_up=script("a")),
            real(12, weight=2, notify_down=script("b")),
            sorry_server=sorry(),
            quorum_up=script("qup"),
            quorum_down=script("qdown"),
            smtp_alert=True,
        )
    )
    assert play.start() == [
        "+ 10.5.0.1:tcp:80 wlc",
        "+ 10.5.0.11:80 w3",
        "+ 10.5.0.12:80 w2",
        f"Gained quorum 1+0=1 <= 5 for VS {VS}",
        "run qup",
        f"fifo VS {VS} UP",
        f"mail Virtualserver {VS} - UP: => Starting with quorum up 1+0=1 <= 5 <=",
    ]
    assert play.say(1, False, had_run=False) == [
        f"Removing service {name(12)} from VS {VS}",
        "- 10.5.0.12:80",
        "run b",
        f"fifo RS {name(12)} {VS} DOWN",
    ]
    assert play.say(0, True, before=True, had_run=False) == []
    assert play.say(0, False) == [
        f"Removing service {name(11)} from VS {VS}",
        "- 10.5.0.11:80",
        f"fifo RS {name(11)} {VS} DOWN",
        f"Lost quorum 1-0=1 > 0 for VS {VS}",
        f"Adding sorry server {name(99)} to VS {VS}",
        f"Removing alive servers from the pool for VS {VS}",
        "+ 10.5.0.99:80 w1",
        "run qdown",
        f"fifo VS {VS} DOWN",
        f"mail Virtualserver {VS} - DOWN: => Lost quorum 1+0=1 <= 0 <=",
    ]
    assert play.pool.sorry_present
    assert play.say(0, True) == [
        f"Adding service {name(11)} to VS {VS}",
        "run a",
        f"fifo RS {name(11)} {VS} UP",
        f"Gained quorum 1+0=1 <= 3 for VS {VS}",
        f"Removing sorry server {name(99)} from VS {VS}",
        "- 10.5.0.99:80",
        f"Adding alive servers to the pool for VS {VS}",
        "+ 10.5.0.11:80 w3",
        "run qup",
        f"fifo VS {VS} UP",
        f"mail Virtualserver {VS} - UP: => Gained quorum 1+0=1 <= 3 <=",
    ]
    assert play.stop() == [
        f"Shutting down service {name(11)} from VS {VS}",
        "- 10.5.0.11:80",
        f"Shutting down service {name(12)} from VS {VS}",
        "- 10.5.0.1:tcp:80",
    ]


def test_alpha_hysteresis_and_omega() -> None:
    servers = [real(number, smtp_alert=number == 11) for number in (11, 12, 13)]
    play = Play(virtual(*servers, quorum=2, hysteresis=1, omega=True, sorry_server=sorry()), [1, 1, 1])
    assert play.start() == [
        "+ 10.5.0.1:tcp:80 wlc",
        f"Starting with quorum down 2-1=3 > 0 for VS {VS}",
        f"Adding sorry server {name(99)} to VS {VS}",
        f"Removing alive servers from the pool for VS {VS}",
        "+ 10.5.0.99:80 w1",
        f"fifo VS {VS} DOWN",
    ]
    assert play.say(0, True, had_run=False, alpha=True) == [
        f"Adding service {name(11)} to VS {VS}",
        f"fifo RS {name(11)} {VS} UP",
    ]
    play.say(1, True, had_run=False, alpha=True)
    assert play.say(2, False, before=False, had_run=False, alpha=True) == [f"fifo RS {name(13)} {VS} DOWN"]
    gained = play.say(2, True)
    assert f"Gained quorum 2+1=3 <= 3 for VS {VS}" in gained
    assert gained[-4:-1] == ["+ 10.5.0.11:80 w1", "+ 10.5.0.12:80 w1", "+ 10.5.0.13:80 w1"]
    assert not any("quorum" in line for line in play.say(2, False) + play.say(1, False))
    assert play.stop() == [
        f"Shutting down service {name(11)} from VS {VS}",
        "- 10.5.0.11:80",
        f"fifo RS {name(11)} {VS} DOWN",
        f"mail Realserver {name(11)} of virtual server {VS} - DOWN: => Shutting down <=",
        f"Shutting down service {name(12)} from VS {VS}",
        f"Shutting down service {name(13)} from VS {VS}",
        f"fifo VS {VS} DOWN",
        "- 10.5.0.1:tcp:80",
    ]


def test_inhibited_servers_keep_their_places() -> None:
    play = Play(
        virtual(
            real(11, weight=5, inhibit_on_failure=True),
            real(12, weight=4, inhibit_on_failure=True),
            sorry_server=sorry(inhibit=True),
        )
    )
    assert play.start()[-1] == "+ 10.5.0.99:80 w0"
    assert play.say(1, False)[:2] == [f"Disabling service {name(12)} of VS {VS}", "= 10.5.0.12:80 w0"]
    assert play.say(0, False)[3:] == [
        f"Lost quorum 1-0=1 > 0 for VS {VS}",
        f"Enabling sorry server {name(99)} to VS {VS}",
        f"Removing alive servers from the pool for VS {VS}",
        "= 10.5.0.99:80 w1",
        f"fifo VS {VS} DOWN",
    ]
    assert play.say(0, True) == [
        f"Enabling service {name(11)} of VS {VS}",
        f"fifo RS {name(11)} {VS} UP",
        f"Gained quorum 1+0=1 <= 5 for VS {VS}",
        f"Disabling sorry server {name(99)} from VS {VS}",
        "= 10.5.0.99:80 w0",
        f"Adding alive servers to the pool for VS {VS}",
        "= 10.5.0.11:80 w5",
        f"fifo VS {VS} UP",
    ]
    assert play.stop()[:5] == [
        "- 10.5.0.99:80",
        f"Shutting down service {name(11)} from VS {VS}",
        "- 10.5.0.11:80",
        f"Shutting down (inhibited) service {name(12)} from VS {VS}",
        "- 10.5.0.12:80",
    ]


def test_an_inhibited_server_that_starts_as_failed_has_weight_0() -> None:
    play = Play(virtual(real(11, inhibit_on_failure=True), real(12)), [1, 0])
    assert play.start()[1:3] == ["+ 10.5.0.11:80 w0", "+ 10.5.0.12:80 w1"]


def test_the_first_check_that_fails_and_the_last_that_recovers_count() -> None:
    play = Play(virtual(real(11), real(12)))
    play.start()
    assert play.say(0, False)
    assert play.say(0, False) == []
    assert play.say(0, True) == []
    assert play.say(0, True)[:2] == [f"Adding service {name(11)} to VS {VS}", "+ 10.5.0.11:80 w1"]


def test_weights_change_at_once_if_the_server_is_in() -> None:
    play = Play(virtual(real(11, weight=3), real(12, weight=1), quorum=2, sorry_server=sorry()))
    play.start()
    assert play.weigh(0, 7) == [
        f"Changing weight from 3 to 7 for active service {name(11)} of VS {VS}",
        "= 10.5.0.11:80 w7",
    ]
    lost = play.weigh(0, -10)
    assert lost[:3] == [
        f"Changing weight from 7 to 0 for active service {name(11)} of VS {VS}",
        "= 10.5.0.11:80 w0",
        f"Lost quorum 2-0=2 > 1 for VS {VS}",
    ]
    assert lost[5:8] == ["- 10.5.0.11:80", "- 10.5.0.12:80", "+ 10.5.0.99:80 w1"]
    assert play.weigh(0, -3) == []
    assert play.pool.servers[0].weight == -3
    play.say(1, False)
    assert play.weigh(1, 9) == [f"Changing weight from 1 to 9 for inactive service {name(12)} of VS {VS}"]
    assert play.say(1, True)[-3:-1] == ["+ 10.5.0.11:80 w0", "+ 10.5.0.12:80 w9"]


def test_what_checks_add_counts_from_the_start() -> None:
    play = Play(virtual(real(11, weight=1)), added=[2000])
    assert play.start()[1] == "+ 10.5.0.11:80 w2001"


def test_servers_can_be_told_of_at_the_start() -> None:
    play = Play(virtual(real(11, notify_up=script("a")), real(12)), [0, 1], lvs=Lvs(rs_init_notifies=True))
    assert play.start()[1:4] == ["+ 10.5.0.11:80 w1", "run a", f"fifo RS {name(11)} {VS} UP"]


def test_a_real_server_that_is_the_sorry_server_keeps_its_place() -> None:
    play = Play(virtual(real(11, weight=4), real(12, weight=4), quorum=5, sorry_server=sorry(11)))
    play.start()
    lost = play.say(1, False)
    assert lost[-2:] == ["= 10.5.0.11:80 w1", f"fifo VS {VS} DOWN"]
    assert play.say(0, False)[1:] == [f"fifo RS {name(11)} {VS} DOWN"]
    assert [line for line in play.stop() if line.startswith("-")] == ["- 10.5.0.11:80", "- 10.5.0.1:tcp:80"]


def test_without_a_sorry_server_what_is_alive_stays_in() -> None:
    play = Play(virtual(real(11), real(12), quorum=2))
    play.start()
    assert play.say(0, False)[3:] == [f"Lost quorum 2-0=2 > 1 for VS {VS}", f"fifo VS {VS} DOWN"]


def test_a_quorum_of_nothing_needs_something_alive() -> None:
    play = Play(virtual(real(11, weight=0), quorum=0, sorry_server=sorry()))
    assert "+ 10.5.0.99:80 w1" in play.start()
    assert f"Gained quorum 0+0=0 <= 1 for VS {VS}" in play.weigh(0, 1)


def test_what_is_flushed_goes_without_a_word() -> None:
    play = Play(virtual(real(11), omega=True), lvs=Lvs(flush_on_stop=LvsFlush.OWN_SERVICES))
    play.start()
    assert play.stop() == [f"fifo VS {VS} DOWN", "- 10.5.0.1:tcp:80"]
    play = Play(virtual(real(11)), lvs=Lvs(flush_on_stop=LvsFlush.ALL))
    play.start()
    assert play.stop() == []
