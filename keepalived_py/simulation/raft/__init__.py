"""A cluster that elects by quorum, in virtual time: `core.raft` under every fault that can be drawn.

`python -m keepalived_py.simulation.raft --seeds 0..10000` plays many clusters.
Each seed is one: members with clocks of their own, a network that loses, delays,
doubles and cuts, kernels that end a lease by themselves, and an operator.  Time is
true time, in microseconds; only a host knows its own clock.
"""
