"""PCI devices that are hidden from the control domain, so that VMs can have them."""

from services.simulator.pool.pool import Pool

_SHOWN = "enabled"
_WISHES = {
    (True, "enabled"): "disable_on_reboot",
    (True, "enable_on_reboot"): "disabled",
    (False, "disabled"): "enable_on_reboot",
    (False, "disable_on_reboot"): "enabled",
}
_REBOOTS = {"disable_on_reboot": "disabled", "enable_on_reboot": "enabled"}


def state(pool: Pool, pci: str) -> str:
    """Of the enum ``pci_dom0_access``."""
    return pool.hidden_devices.get(pci, _SHOWN)


def wish(pool: Pool, pci: str, *, hidden: bool) -> str:
    """What holds from now on; a device is hidden or shown when its host boots."""
    now = state(pool, pci)
    return _set(pool, pci, _WISHES.get((hidden, now), now))


def booted(pool: Pool, host: str) -> None:
    """Wishes come true."""
    for pci in pool.db.row("host", host)["PCIs"]:
        now = state(pool, pci)
        _set(pool, pci, _REBOOTS.get(now, now))


def _set(pool: Pool, pci: str, value: str) -> str:
    pool.hidden_devices[pci] = value
    for pgpu in pool.db.rows("PGPU"):
        if pgpu["PCI"] == pci:
            pool.db.set("PGPU", pgpu.ref, "dom0_access", value)
    return value
