"""How the NBD connections of hosts are shared between the sources that are read.

A host takes 16 connections (nbd: src/consts.ml) from everybody together, and drops the 17th. Some are kept
free for other people's tools.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

CONNECTIONS_PER_HOST = 16

Share = dict[str, int]
"""Connections by host."""


def share_out(
    wanted: int, per_host: int, disks: Iterable[Collection[str]], others: Collection[Mapping[str, int]]
) -> Share:
    """What a source may use now: for each disk, given by the hosts that see it, ``wanted`` connections spread
    over the hosts with the most room, less when everybody together wants more than there is, and never none.

    ``others`` hold what they were told. Disks that are read at the same time have a host's share together: it
    is that of the disk that needs it most.
    """
    taken: Counter[str] = Counter()
    for held in others:
        taken.update(held)
    share: Share = {}
    for hosts in {frozenset(each) for each in disks if each}:
        rivals = 1 + sum(any(held.get(host) for host in hosts) for held in others)
        fair = min(wanted, max(1, per_host * len(hosts) // rivals))
        for host, count in _spread(fair, per_host, hosts, taken).items():
            share[host] = max(share.get(host, 0), count)
    return share


def room_left(per_host: int, hosts: Collection[str], held: Iterable[Mapping[str, int]]) -> bool:
    """Whether one more source could read through any of ``hosts`` without what is kept free."""
    taken: Counter[str] = Counter()
    for each in held:
        taken.update(each)
    return any(taken[host] < per_host for host in hosts)


def _spread(count: int, per_host: int, hosts: Collection[str], taken: Mapping[str, int]) -> Share:
    given: Counter[str] = Counter()
    for _ in range(count):
        host = min(sorted(hosts), key=lambda each: taken.get(each, 0) + given[each])
        if given and taken.get(host, 0) + given[host] >= per_host:
            break
        given[host] += 1
    return dict(given)
