"""What the VRRP process remembers of sessions that nobody tracks yet."""

from ipaddress import ip_address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.core.track import objects as tracked
from keepalived_py.core.track.tracks import Tracks
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Effect
from keepalived_py.model.events import BfdChanged
from keepalived_py.model.tracking import TrackedBfd

NOW = Micros(1)


def test_session_that_is_up_before_it_is_tracked() -> None:
    """A reload that adds the tracking finds it up: there will be no event to say so."""
    configuration = Configuration(bfd_instances=(BfdInstance("b1", ip_address("10.0.0.2")),))
    name, out = InstanceName("VI_1"), list[Effect]()
    found = tracked.begin(configuration, {name: Tracks()}, NOW, out)
    found = tracked.on_event(found, BfdChanged("b1", True), NOW, out)
    tracks = {name: Tracks(bfds=(TrackedBfd("b1"),))}
    assert tracked.replaced(found, configuration, tracks, NOW, out).bfds["b1"].up
    assert out == []


def test_session_that_is_gone_is_forgotten() -> None:
    configuration = Configuration(bfd_instances=(BfdInstance("b1", ip_address("10.0.0.2")),))
    out: list[Effect] = []
    found = tracked.begin(configuration, {}, NOW, out)
    assert "b1" in found.bfds
    assert tracked.replaced(found, Configuration(), {}, NOW, out).bfds == {}
