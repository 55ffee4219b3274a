"""Which sockets a configuration asks for: pure working out, nothing is opened here.

For each instance the endpoint of its adverts follows from the configuration
and, for unicast without a configured source, from the addresses that its
interface has.  What belongs to a socket (VRIDs, room for adverts) is the sum over
the instances that share it, as keepalived reckons it.  An instance that a quorum
elects sends and hears no adverts, so it asks for nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.core.leases import is_leased
from keepalived_py.core.track.interface import source_of, virtual_addresses
from keepalived_py.model.config import AuthType, Configuration, Globals, Instance
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.globals import RxBufferPolicy
from keepalived_py.model.vrrp import HmacMode
from keepalived_py.system.vrrp_socket import PROTOCOL_AH, PROTOCOL_VRRP, Endpoint
from keepalived_py.wire.vrrp import advert_length

Interfaces = Mapping[InterfaceName, InterfaceFacts]


class Wanted(NamedTuple):
    """A socket that is wanted: the index of its device (0: it has none), its VRIDs, the bytes of its receive
    buffer (0: as the system has it).
    """

    device_index: int
    vrids: frozenset[int]
    buffer: int


def protocol_of(auth_type: AuthType) -> int:
    """The IP protocol that adverts with this authentication have."""
    return PROTOCOL_AH if auth_type is AuthType.AH else PROTOCOL_VRRP


def wanted_endpoints(configuration: Configuration, interfaces: Interfaces) -> dict[Endpoint, Wanted]:
    """The sockets that can be opened now, in the order of the instances that ask for them first."""
    virtual: frozenset[Address] | None = None
    wanted: dict[Endpoint, Wanted] = {}
    for instance in configuration.instances:
        if is_leased(instance):
            continue
        address: Address | None = instance.source if instance.unicast else instance.destination
        if address is None:
            virtual = virtual_addresses(configuration) if virtual is None else virtual
            address = source_of(instance, interfaces, virtual)
        if address is None:
            continue
        endpoint = Endpoint(
            instance.advert_interface,
            instance.family,
            protocol_of(instance.auth_type),
            address,
            instance.vrf or InterfaceName(""),
        )
        index = _index(endpoint.device, interfaces)
        if index is None:
            continue
        known = wanted.get(endpoint, Wanted(index, frozenset(), 0))
        wanted[endpoint] = known._replace(
            vrids=known.vrids | {instance.vrid},
            buffer=known.buffer + _receive_buffer(instance, configuration.globals, interfaces),
        )
    return wanted


def watched(configuration: Configuration) -> tuple[frozenset[InterfaceName], frozenset[InterfaceName]]:
    """The interfaces whose index and MTU count, and those whose addresses do."""
    links: set[InterfaceName] = set()
    sources: set[InterfaceName] = set()
    for instance in configuration.instances:
        links |= {instance.interface, instance.advert_interface, instance.vrf or InterfaceName("")}
        if instance.unicast and instance.source is None:
            sources |= {instance.interface, instance.configured_interface}
    return frozenset(links), frozenset(sources)


def _index(device: InterfaceName, interfaces: Interfaces) -> int | None:
    """The device's index; 0 without device, None if it is not there."""
    if not device:
        return 0
    facts = interfaces.get(device)
    return facts.index if facts is not None and facts.index else None


def _receive_buffer(instance: Instance, settings: Globals, interfaces: Interfaces) -> int:
    """What `instance` adds to the receive buffer of its socket, in bytes."""
    if instance.receive_buffer_bytes:
        return instance.receive_buffer_bytes
    buffers = settings.advert_buffers
    if isinstance(buffers.policy, int):
        return buffers.policy
    if buffers.policy is RxBufferPolicy.ADVERT:
        return buffers.multiplier * _length(instance)
    facts = interfaces.get(instance.interface)
    if buffers.policy is RxBufferPolicy.MTU and facts is not None:
        return buffers.multiplier * facts.mtu
    return 0


def _length(instance: Instance) -> int:
    signing = instance.auth_hmac
    return advert_length(
        instance.version,
        instance.family,
        len(instance.addresses),
        has_ah=instance.auth_type is AuthType.AH,
        signed=signing is not None and signing.mode is not HmacMode.RECEIVE_ONLY,
    )
