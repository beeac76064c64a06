"""Reads a whole repository by docs/repository-format.md alone; see ``independent_keys`` for the rules."""

import contextlib
import hashlib
from typing import Any

from tests.contract.repository import independent_blobs as blobs_of
from tests.contract.repository.independent_keys import (
    HEADER,
    Refused,
    clear_object,
    open_slot,
    parse_epoch,
    parse_epoch_record,
    parse_header,
    parse_slot,
    refuse_features,
    require,
    require_mac,
)
from tests.contract.repository.independent_objects import (
    is_revocation,
    open_object,
    parse_checkpoint,
    parse_lease,
    parse_plan,
    parse_point,
    parse_segment,
)


class IndependentReader:
    """Opens by any slot's secret; reads from the packs, whatever the index and ``epochs/`` say.

    A pack that is damaged does not count; what is in no other one is ``Refused``.
    """

    def __init__(self, objects: dict[str, bytes], secret: str) -> None:
        self.objects = objects
        self.header = self._header()
        self.id = parse_header(self.header)
        self.root = self._root(secret)
        require_mac(self.header, self.root)
        self.damaged: dict[str, str] = {}
        self.blobs: dict[tuple[int, bytes], bytes] = {}
        self.packs: dict[str, list[bytes]] = {}
        self.epochs_of_packs: set[int] = set()
        for name in self._names("packs/"):
            self._take_pack(name)

    def points(self) -> list[str]:
        """Ids; names that are revoked are none."""
        names = [
            name
            for name in self._names("points/")
            if not is_revocation(self.objects[name], name, self.root, self.id)
        ]
        return sorted(name.removeprefix("points/") for name in names)

    def point(self, point_id: str, name: str = "") -> dict[str, Any]:
        """A point, or with the name of its copy in the trash that one."""
        sealed_as = f"points/{point_id}"
        data = self.objects[name or sealed_as]
        return parse_point(open_object(data, sealed_as, "point", self.root, self.id))

    def disk(self, point: dict[str, Any], disk_id: str) -> bytes:
        """The whole image."""
        disk = next(disk for disk in point["disks"] if disk["disk"] == disk_id)
        image = bytearray(disk["size_bytes"])
        for number, content in self.chunks(point, disk_id).items():
            at = number * self.header["chunk_bytes"]
            image[at : at + len(content)] = content
        return bytes(image)

    def chunks(self, point: dict[str, Any], disk_id: str) -> dict[int, bytes]:
        """Contents by number; those that are left out are zero."""
        disk = next(disk for disk in point["disks"] if disk["disk"] == disk_id)
        root = None if disk["root"] is None else bytes.fromhex(disk["root"])
        return blobs_of.read_chunks(self._blob, root, disk["size_bytes"], self.header["chunk_bytes"])

    def stream(self, point: dict[str, Any], name: str) -> bytes:
        stream = point["streams"][name]
        list_id = None if stream["list"] is None else bytes.fromhex(stream["list"])
        return blobs_of.read_stream(self._blob, list_id, stream["bytes"])

    def index(self) -> dict[str, list[bytes]]:
        """Blobs of each pack as the segments that are in force list them."""
        superseded: set[bytes] = set()
        listed: dict[bytes, dict[str, list[bytes]]] = {}
        for name in self._names("index/"):
            data = self.objects[name]
            digest = hashlib.sha256(data).digest()
            require(digest.hex() == name.removeprefix("index/"), "a segment is not what it is named")
            replaced, packs = parse_segment(open_object(data, "index", "index", self.root, self.id))
            superseded |= set(replaced)
            listed[digest] = packs
        return {
            pack: blobs
            for digest, packs in listed.items()
            if digest not in superseded
            for pack, blobs in packs.items()
        }

    def epochs(self) -> dict[int, bytes]:
        """Records by number."""
        found = {}
        for name in self._names("epochs/"):
            record = parse_epoch(self.objects[name])
            require(name == f"epochs/{parse_epoch_record(record)[0]:08d}", "it is another epoch")
            found[parse_epoch_record(record)[0]] = record
        return found

    def plans(self) -> dict[str, list[str]]:
        return {
            name: parse_plan(open_object(self.objects[name], name, "plan", self.root, self.id), name)
            for name in self._names("prune/")
        }

    def checkpoints(self) -> dict[str, dict[str, Any]]:
        return {
            name: parse_checkpoint(open_object(self.objects[name], name, "checkpoint", self.root, self.id))
            for name in self._names("checkpoints/")
        }

    def leases(self) -> dict[str, list[str]]:
        return {name: parse_lease(self.objects[name]) for name in self._names("leases/")}

    def trash(self) -> dict[str, str]:
        """Point by name of its copy."""
        return {name: name.split("/")[1] for name in self._names("trash/")}

    def _header(self) -> dict[str, Any]:
        refuse_features(self._names("features/"))
        return clear_object(self.objects[HEADER])

    def _root(self, secret: str) -> bytes:
        for name in self._names("keys/"):
            with contextlib.suppress(Refused):
                return open_slot(parse_slot(self.objects[name], name.removeprefix("keys/")), secret)
        raise Refused("no slot opens")

    def _take_pack(self, name: str) -> None:
        data = self.objects[name]
        try:
            found = blobs_of.read_pack(name, data, self.root, self.id)
        except Refused as error:
            self.damaged[name] = str(error)
            return
        self.blobs |= found
        self.packs[name] = [id_ for _, id_ in found]
        self.epochs_of_packs.add(parse_epoch_record(data[64:132])[0])

    def _blob(self, type_: int, id_: bytes) -> bytes:
        require((type_, id_) in self.blobs, f"{blobs_of.TYPES[type_].decode()} {id_.hex()} is nowhere")
        return self.blobs[type_, id_]

    def _names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))
