"""All calls that mean more than reading or writing the database, each with its function."""

from collections.abc import Mapping

from services.simulator.calls.tables import access, hosts, machines, networks, pool, storage
from services.simulator.dispatch.call import CallFunction

CALLS: Mapping[str, CallFunction] = {
    **machines.CALLS,
    **storage.CALLS,
    **networks.CALLS,
    **hosts.CALLS,
    **pool.CALLS,
    **access.CALLS,
}
"""A class is in one of them."""
