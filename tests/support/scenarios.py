"""The faults a backup must survive, in one table.

A test says which of them it injects with ``@pytest.mark.scenario(7, 8)``; ``make faults`` runs those tests
and writes a report.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

THOROUGH: Final = os.environ.get("XENKEEP_TEST_FAULTS") == "1"
"""Whether every step is tried (``make faults``), or a part of them (``make test``)."""

HISTORY, LEAKS = "history", "leaks"


@dataclass(frozen=True, slots=True)
class Scenario:
    """``shown`` says what its tests show; ``missing`` why there are none, or what they leave out."""

    title: str
    shown: str
    missing: str = ""


GROUPS: Final[Mapping[str, tuple[int, int]]] = {
    "Write path": (1, 10),
    "Store": (11, 19),
    "Concurrency": (20, 29),
    "Corruption": (30, 37),
    "Hypervisor": (38, 41),
    "Keys": (42, 43),
    "Life": (44, 48),
}

SCENARIOS: Final[Mapping[int | str, Scenario]] = {
    1: Scenario(
        "SIGKILL of the mover at every I/O step",
        "A process is killed in place of each of its file operations, and dies before and after each request "
        "to its store: points are there whole or not at all, and the next attempt succeeds. Backups, copies, "
        "prunes, deletions, keys, repairs, rebuilds, creations, verifications.",
    ),
    2: Scenario(
        "power loss, un-fsynced data dropped",
        "The file operations of a history are recorded; at each of them what was not synced is lost, torn "
        "or kept in several ways, and the repository is opened on what is left. What a killed mover left "
        "unsynced is safe when the next one says that it is done.",
    ),
    3: Scenario(
        "truncated, zero or torn pack",
        "Found without a key, named with its points, never deduplicated, healed.",
    ),
    4: Scenario(
        "fsync EIO, failing rename", "The object is written again to another file, or not acknowledged."
    ),
    5: Scenario(
        "disk full in data, index, point, cache, prune",
        "The backup fails with the way out, what was committed is intact, the next one succeeds.",
    ),
    6: Scenario("quota, EMFILE, read-only remount", "Refused with the way out; nothing half-made is left."),
    7: Scenario("bit flip between encode and upload", "Each blob is decoded before it counts as stored."),
    8: Scenario(
        "store acks but content differs",
        "What was stored wrongly is found by its name, its seal and its id, and is never restored.",
    ),
    9: Scenario(
        "retried PUT whose first try succeeded", "Success when the bytes are ours, refused when not."
    ),
    10: Scenario(
        "index flush fails after the pack is stored",
        "The backup fails, nothing refers to the pack, the next one stores its content or finds it.",
    ),
    11: Scenario("500, 503, SlowDown storms", "Waited out longer and longer, told, and given up in the end."),
    12: Scenario("hung and half-open connections", "Given up after a time, told, tried again."),
    13: Scenario("short, wrong, stale reads", "Never restored; read again where that may help."),
    14: Scenario(
        "listing late or incomplete, more than 1,000 keys", "Points name their segments; lists page."
    ),
    15: Scenario(
        "clocks off by hours, jumps, DST",
        "Backups and restores by clocks that jump to and fro; calendars over changes of the clock; "
        "a store whose clock is off is named.",
    ),
    16: Scenario("no conditional writes", "Such a store is refused before its first object."),
    17: Scenario(
        "object archived, expired, versioned", "Named as that; what expired is damage, never zeros."
    ),
    18: Scenario(
        "credentials expire, delete refused", "Told with the way out; a refused delete costs nothing."
    ),
    19: Scenario(
        "cache lost, stale, foreign, full", "Made anew from the repository, or an error that says so."
    ),
    20: Scenario("two writers, same chunk", "Both commit; both restore."),
    21: Scenario("prune during backup", "A backup at every step of a prune, and a prune of a backup."),
    22: Scenario(
        "writer suspended beyond its lease",
        "Whoever was replaced or revoked cannot commit, and the transfer goes on with the one who took over.",
    ),
    23: Scenario("prune killed after k of n deletions", "Nothing is lost; the next prune finishes."),
    24: Scenario("prune with an old index", "Nothing that is needed is deleted."),
    25: Scenario("two pruners", "At every step of each other they keep one copy of everything."),
    26: Scenario(
        "point deleted while restored, copied, verified",
        "It is read to its end, or said to be deleted; it is never taken for damaged.",
    ),
    27: Scenario(
        "asset renamed while pruning",
        "",
        "Nothing to inject: the repository keeps points by their ids, and prune looks at no names.",
    ),
    28: Scenario("lease object vanishes", "Its writer cannot commit, and says so."),
    29: Scenario("maintenance that always fails", "It loses nothing and tells; the next one goes on."),
    30: Scenario("one bit in every region of a pack", "Found without and with a key; restores right or not."),
    31: Scenario(
        "packs deleted, truncated, swapped, renamed", "Named with the points they damage; healed by a backup."
    ),
    32: Scenario(
        "indexes deleted or lying", "No wrong byte; a rebuild from the packs alone brings all back."
    ),
    33: Scenario(
        "page, point, header, key slot damaged",
        "Named; the header is repaired from a slot, another key opens.",
    ),
    34: Scenario("wrong content under a valid MAC", "Found by the keyed id of the content."),
    35: Scenario(
        "ciphertext moved between slots, packs, repositories; rollback of the whole repository",
        "Refused by what the seals bind; of a rollback the local cache tells.",
    ),
    36: Scenario(
        "decompression bomb, malformed manifests (fuzz)",
        "Every parser of what is read back, outside and inside valid seals: an answer or a named error.",
    ),
    37: Scenario(
        "damage heals by the next incremental or the replica",
        "By the next incremental, by a full, and from a copy.",
    ),
    38: Scenario(
        "CBT lost, disabled, resized, migrated, reverted",
        "Full, or a comparison, with the reason on the point.",
    ),
    39: Scenario("base point damaged, deleted, other key", "Refused with a reason; a full is taken instead."),
    40: Scenario(
        "NBD error, short read, host reboot mid-transfer",
        "Read again elsewhere, also when a host falls silent, or failed and told; never zeros.",
    ),
    41: Scenario(
        "CBT says unchanged but it changed",
        "Each incremental compares a sample of what did not change with its base: a change that was not told "
        "is found in its turn, and the disk read fully, with the reason on the point.",
    ),
    42: Scenario(
        "wrong passphrase, last slot, lost slot, recovery key on a clean machine",
        "Refused with the way out; two keys always remain; one key and the repository restore everything.",
    ),
    43: Scenario(
        "an append-only identity that deletes, overwrites, floods; a cloned mover (nonce reuse)",
        "Refused, by rights and by locks of the place; it backs up, and another one prunes. Junk wherever an "
        "identity may write is told and harms nothing; no two packs share a key.",
    ),
    44: Scenario(
        "unknown mandatory feature; repositories of every released format restore forever",
        "Refused before a key is asked for; the golden repository restores, by our code and by its page.",
    ),
    45: Scenario("catalog gone", "Made again from what the repositories hold."),
    46: Scenario(
        "copy cut at every message, peer full",
        "A copy dies before and after each request to its target, or finds it full: points there are whole "
        "or not there, and the next copy sends what is missing. Either mover of two dies at each message, "
        "the line between them is cut at each, or falls silent: the copy goes on where the receiver says, "
        "and sends no more again than was under way.",
    ),
    47: Scenario(
        "NATS down, duplicated, reordered; database fails over mid-commit",
        "Events are published and applied once, whenever a process is killed, NATS is away or repeats them; "
        "a commit that PostgreSQL's end cuts off is whole or nothing.",
    ),
    48: Scenario(
        "ten million chunks, ten thousand points, memory within budget",
        "Ten thousand points and three million chunks; the cost of an entry, of streams, of sparse disks.",
    ),
    HISTORY: Scenario(
        "the property test: any history against a model",
        "Random sequences of backup, delete, prune, crash, corrupt, heal, verify, rebuild, rotate, move, and "
        "copy.",
    ),
    LEAKS: Scenario(
        "a thousand operations",
        "Descriptors, threads and memory do not grow, nor connections to buckets and disks; also with "
        "operations that fail, are cancelled or left half done.",
    ),
    "borg #9748": Scenario(
        "dedup against ghosts, success and zeros on extract",
        "Chunks in a deleted pack are stored again; a restore of them is an error before the first write.",
    ),
    "kopia #1242": Scenario(
        "collection with a stale index deleted a fresh blob", "A prune takes the index in before it marks."
    ),
    "restic #2715": Scenario(
        "a suspended client committed after its lock was broken",
        "Who was replaced while asleep cannot commit.",
    ),
    "PBS #5982": Scenario(
        "a file system that ignores atime",
        "Nothing depends on times of files: restores, backups and verifications with all of them at 1970.",
    ),
    "Xen Orchestra #8713": Scenario(
        "CBT leftovers that made every run a full",
        "After killed and failed runs the next one is incremental.",
    ),
}
