"""Which PCI devices the control domain uses itself: from the next boot of the host on (xapi:
ocaml/xapi/xapi_pgpu.ml ``update_dom0_access``, xapi_pci.ml).
"""

from services.simulator.dispatch.call import Call
from services.simulator.pool import passthrough


async def enable_pci(call: Call, ref: str) -> str:
    """The state that follows."""
    return passthrough.wish(call.pool, call.db.row("PCI", ref).ref, hidden=False)


async def disable_pci(call: Call, ref: str) -> str:
    return passthrough.wish(call.pool, call.db.row("PCI", ref).ref, hidden=True)


async def get_pci_status(call: Call, ref: str) -> str:
    return passthrough.state(call.pool, call.db.row("PCI", ref).ref)


async def enable_pgpu(call: Call, ref: str) -> str:
    return passthrough.wish(call.pool, call.db.row("PGPU", ref)["PCI"], hidden=False)


async def disable_pgpu(call: Call, ref: str) -> str:
    return passthrough.wish(call.pool, call.db.row("PGPU", ref)["PCI"], hidden=True)
