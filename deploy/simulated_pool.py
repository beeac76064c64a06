"""The pool of the ``demo`` profile: three hosts, shared storage, one VM with a real ext4 disk.

Every host needs an address of its own: the container is on one network per host, and the host's name is its
alias there. A simulated pool starts anew each time, so what the last one left in the folder is removed. The
root password is made once and kept beside it.
"""

import json
import os
import secrets
import shutil
import socket
from pathlib import Path
from random import Random

from xenkeep.demo.guests import MIB, GuestDisk, make_disk

from services.chassis import files

FOLDER = Path("/var/lib/xenkeep")
HOSTS = ("host-1", "host-2", "host-3")
HTTPS_PORT = 8443
NBD_PORT = 10809
DISK_BYTES = 256 * MIB
FILES_BYTES = 24 * MIB
SEED = 20260101


def main(folder: Path = FOLDER) -> None:
    """Prepare the pool, then become its simulator."""
    for left in ("pool", "disks", "control.sock"):
        path = folder / left
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    files.write_new(folder / "pool-password", secrets.token_urlsafe(16).encode())
    (folder / "disks").mkdir()
    rng = Random(SEED)  # noqa: S311 - contents of a disk, not a secret
    disk = make_disk(folder / "disks", "web", DISK_BYTES, FILES_BYTES, rng)
    addresses = {host: socket.gethostbyname(host) for host in HOSTS}
    description = folder / "pool.json"
    files.replace(description, json.dumps(describe(folder, addresses, disk), indent=2).encode())
    os.execvp("xenkeep-simulator", ["xenkeep-simulator", "run", str(description)])  # noqa: S606


def describe(folder: Path, addresses: dict[str, str], disk: GuestDisk) -> dict[str, object]:
    """What ``xenkeep-simulator run`` reads; ``addresses`` maps a host to its IP address."""
    return {
        "name": "demo",
        "data_dir": str(folder / "pool"),
        "https_port": HTTPS_PORT,
        "nbd_port": NBD_PORT,
        "control_socket": str(folder / "control.sock"),
        "users": [{"name": "root", "password_file": str(folder / "pool-password")}],
        "hosts": [{"name": name, "address": address} for name, address in addresses.items()],
        "storage": [{"name": "Shared storage", "type": "nfs"}],
        "default_storage": "Shared storage",
        "vms": [
            {
                "name": "web",
                "description": "A VM of the demo",
                "host": HOSTS[-1],
                "disks": [{"name": "web disk 0", "image": str(disk.image), "bootable": True}],
                "networks": ["Pool-wide network"],
            }
        ],
    }


if __name__ == "__main__":
    main()
