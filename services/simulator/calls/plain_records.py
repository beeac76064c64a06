"""Calls of classes that are records and nothing more."""

from typing import Any

from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure


def creator(cls: str) -> CallFunction:
    """The constructor of a class without side effects."""

    async def create(call: Call, record: dict[str, Any]) -> str:
        return call.pool.create(cls, **record)

    return create


def destroyer(cls: str) -> CallFunction:
    async def destroy(call: Call, ref: str) -> None:
        call.db.delete(cls, ref)

    return destroy


def blob_creator(cls: str) -> CallFunction:
    """A blob that belongs to an object of ``cls``, by name. Raises ``MAP_DUPLICATE_KEY``."""

    async def create_new_blob(call: Call, ref: str, name: str, mime_type: str, public: bool) -> str:
        call.db.row(cls, ref)
        about = {"name_label": name, "mime_type": mime_type or "application/octet-stream", "public": public}
        blob = call.pool.create("blob", **about, last_updated=call.pool.now())
        try:
            call.db.add_to_map(cls, ref, "blobs", name, blob)
        except XapiFailure:
            call.db.delete("blob", blob)
            raise
        return blob

    return create_new_blob
