"""A large pool: how long it takes to start, how much memory it takes, and whether events keep flowing.

By default a tenth of it; ``XENKEEP_TEST_SCALE=1`` (``make scale``) takes 64 hosts and 5,000 VMs.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.sdk_events import from_
from tests.conformance.sdk_sessions import opened
from tests.integration.simulator.pools import MIB, PASSWORD

FULL = os.environ.get("XENKEEP_TEST_SCALE") == "1"
HOSTS, VMS = (64, 5000) if FULL else (8, 500)
START_LIMIT_S = 60.0  # a machine that does other things too
MEMORY_LIMIT = 1024 * MIB
EVENTS_PER_S, SECONDS, WRITERS, CHANGED = 200, 5 if FULL else 1, 3, 300


def large_pool() -> dict[str, Any]:
    return {
        "hosts": [
            {"name": f"host-{number}", "address": f"127.0.2.{number}", "cpus": 1, "memory_bytes": 2**41}
            for number in range(1, HOSTS + 1)
        ],
        "storage": [{"name": "Shared storage", "size_bytes": 2**50}],
        "vms": [
            {
                "name": f"vm-{number}",
                "host": f"host-{number % HOSTS + 1}" if number % 2 else None,
                "disks": [{"size_bytes": 2**31}],
            }
            for number in range(VMS)
        ],
    }


def resident_bytes(pid: int) -> int:
    fields = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        if ":" in line
    )
    return int(fields["VmHWM"].split()[0]) * 1024


def test_a_large_pool_starts_soon_and_its_events_flow(tmp_path: Path) -> None:
    begin = time.monotonic()
    with running_pool(tmp_path, **large_pool()) as pool:
        started = time.monotonic() - begin
        with opened(pool) as session:
            session.xenapi.login_with_password("root", PASSWORD, "2.20", "scale")
            begin = time.monotonic()
            records = session.xenapi.VM.get_all_records()
            read = time.monotonic() - begin
            guests = [ref for ref, record in records.items() if record["name_label"].startswith("vm-")]
            changes = flow(pool, session, guests[:CHANGED])
        memory = resident_bytes(pool.pid)
    print(
        f"{HOSTS} hosts, {VMS} VMs: {started:.1f} s to start, {read:.1f} s to read all VMs, "
        f"{memory // MIB} MiB, {changes / SECONDS:.0f} changes a second, all of them told"
    )
    assert len(guests) == VMS
    assert started < START_LIMIT_S
    assert memory < MEMORY_LIMIT
    assert not FULL or changes >= EVENTS_PER_S * SECONDS


def flow(pool: RunningPool, session: Any, vms: list[str]) -> int:
    """Change VMs from several sessions as fast as they can, and follow by events; how many changes were made.

    Every VM's last description must come by an event.
    """
    token = from_(session, ["vm"], "")["token"]
    last: dict[str, str] = {}
    with ThreadPoolExecutor(WRITERS) as writers:
        shares = [vms[number::WRITERS] for number in range(WRITERS)]
        counts = [writers.submit(change, pool, share, last) for share in shares]
        seen: dict[str, str] = {}
        while not all(count.done() for count in counts) or seen != last:
            batch = from_(session, ["vm"], token, 5.0)
            token = batch["token"]
            for event in batch["events"]:
                seen[event["ref"]] = event["snapshot"]["name_description"]
        return sum(count.result() for count in counts)


def change(pool: RunningPool, vms: list[str], last: dict[str, str]) -> int:
    made = 0
    with opened(pool) as session:
        session.xenapi.login_with_password("root", PASSWORD, "2.20", "scale")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            vm = vms[made % len(vms)]
            last[vm] = f"change {made}"
            session.xenapi.VM.set_name_description(vm, last[vm])
            made += 1
    return made
