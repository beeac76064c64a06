"""What the tools in a guest report."""

from typing import Any

from services.simulator.database.row import Row
from services.simulator.pool.attachments import disks_in_use
from services.simulator.pool.pool import Guest, Pool


def add_guest_metrics(pool: Pool, vm: Row) -> str:
    """What a guest's tools report, or the little that is known of one without.

    A VM that nobody described has tools when it has a disk to hold them.
    """
    guest = pool.guests.get(vm["uuid"], Guest(bool(disks_in_use(pool, vm)), "Debian GNU/Linux 12 (bookworm)"))
    if not guest.tools:
        return pool.create("VM_guest_metrics", live=True, last_updated=pool.now())
    facts: dict[str, Any] = {
        "os_version": {
            "name": guest.os_name,
            "distro": "debian",
            "major": "12",
            "minor": "5",
            "uname": "6.1.0-18-amd64",
        },
        "PV_drivers_version": {"major": "7", "minor": "30", "micro": "0", "build": "1"},
        "networks": {
            f"{index}/{kind}": f"192.0.2.{index + 10}"
            for index in range(len(vm["VIFs"]))
            for kind in ("ip", "ipv4/0")
        },
        "other": {
            "platform-feature-xs_reset_watches": "1",
            "feature-balloon": "1",
            "feature-suspend": "1",
            "feature-shutdown": "1",
            "feature-reboot": "1",
            "feature-poweroff": "1",
            "feature-vcpu-hotplug": "1",
            "has-vendor-device": "0",
            **({"feature-quiesce": "1", "feature-snapshot": "1"} if guest.vss else {}),
        },
        "can_use_hotplug_vbd": "yes",
        "can_use_hotplug_vif": "yes",
    }
    return pool.create(
        "VM_guest_metrics",
        PV_drivers_detected=True,
        PV_drivers_up_to_date=True,
        live=True,
        last_updated=pool.now(),
        **facts,
    )
