"""Two coordinators at once: one that was cut off and leads on, and the one that took its place.

Without high availability nothing stops a coordinator that its pool does not hear, or tells it of another
(xapi: ocaml/xapi/xapi_pool_transition.ml ``become_master``, which takes up a replica of the database). Each
has a database of its own from then on, while storage and guests are the same. When they hear each other
again nobody notices, until the former one's toolstack starts again and asks the hosts it knows (xapi.ml
``check_no_other_masters``), or somebody tells it whom to follow (``pool.emergency_reset_master``, which
``pool.recover_slaves`` asks of every host).
"""

from collections import Counter

from services.simulator.failure import internal_error
from services.simulator.pool.disks import Disks
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool


def part(pool: Pool) -> Pool:
    """The pool as its coordinator leads it on, with those that were cut off with it.

    Its sessions and event tokens stay good. What was under way breaks off, where a real one would go on.
    """
    old = pool.coordinator
    rival = Pool(pool.model, pool.description, pool.clock, pool.ids)
    rival.half = {host for host in pool.hosts.values() if host.alive and host.cut_off_under == old.ref}
    rival.db.copy_from(pool.db)
    rival.sessions.copy_from(pool.sessions)
    rival.hosts, rival.failures, rival.found = dict(pool.hosts), pool.failures, pool.found
    rival.shelf, rival.repositories = pool.shelf, dict(pool.repositories)
    rival.disks = {sr: Disks(rival, sr) for sr in pool.disks}
    rival.guests, rival.machines, rival.guest_disks = pool.guests, pool.machines, pool.guest_disks
    rival.tpm_contents, rival.mishaps, rival.domids = pool.tpm_contents, pool.mishaps, pool.domids
    rival.revocation_lists, rival.in_setup_mode = set(pool.revocation_lists), set(pool.in_setup_mode)
    rival.hidden_devices = pool.hidden_devices
    rival.proxy_password, rival.guests_may_write = pool.proxy_password, pool.guests_may_write
    rival.storage_motions, rival.running = Counter(), pool.running
    for row in rival.db.rows("task"):
        if row["status"] == "pending":
            rival.tasks.fail(row.ref, internal_error("it broke off when the pool was split"))
    for host in rival.half:
        host.emergency = False
        host.break_off_answers()
    return rival


def lost(pool: Pool) -> list[Host]:
    """Hosts that would take ``pool``'s coordinator's word now: those without one, and its rival's."""
    rivals = pool.rival.half or set() if pool.rival is not None else set[Host]()
    own = [host for host in pool.hosts.values() if host.emergency and host.heard]
    return [*own, *(host for host in rivals if host.ref in pool.hosts and not host.silence.fallen)]
