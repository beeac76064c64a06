"""Things that hang on other objects by name (xapi: ocaml/xapi/xapi_blob.ml)."""

from services.simulator.database.database import Database
from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure


async def create(call: Call, mime_type: str, public: bool) -> str:
    return call.pool.create("blob", mime_type=mime_type or "application/octet-stream", public=public)


def creator(cls: str) -> CallFunction:
    """A blob that belongs to an object of ``cls``, by name. Raises ``MAP_DUPLICATE_KEY``."""

    async def create_new_blob(call: Call, ref: str, name: str, mime_type: str, public: bool) -> str:
        call.db.row(cls, ref)
        blob = await create(call, mime_type, public)
        try:
            call.db.add_to_map(cls, ref, "blobs", name, blob)
        except XapiFailure:
            call.db.delete("blob", blob)
            raise
        return blob

    return create_new_blob


async def destroy(call: Call, ref: str) -> None:
    destroy_record(call.db, ref)


def destroy_record(db: Database, ref: str) -> None:
    """VMs do not name it any more; other owners go on naming it, as in xapi. Raises ``HANDLE_INVALID``."""
    db.delete("blob", ref)
    for vm in db.rows("VM"):
        if ref in vm["blobs"].values():
            left = {name: blob for name, blob in vm["blobs"].items() if blob != ref}
            db.set("VM", vm.ref, "blobs", left)
