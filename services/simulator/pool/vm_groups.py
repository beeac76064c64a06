"""Which VMs are kept apart: a VM and its group name each other (xapi: ocaml/xapi/xapi_vm_group.ml)."""

from collections.abc import Sequence

from services.simulator.database.database import Database
from services.simulator.database.row import Row


def put_into(db: Database, vm: Row, groups: Sequence[str]) -> None:
    """It is in these groups and in no other; nothing in releases without groups."""
    if "VM_group" not in db.tables:
        return
    for group in db.rows("VM_group"):
        others = [other for other in group["VMs"] if other != vm.ref]
        db.set("VM_group", group.ref, "VMs", [vm.ref, *others] if group.ref in groups else others)
    db.set("VM", vm.ref, "groups", list(groups))
