"""Linux in a machine of QEMU: Debian's kernel, busybox, and a script that writes to its disk."""

import gzip
import subprocess
from pathlib import Path

import pytest

from tests.support.qemu import BUILD, alone, needed

_KERNEL = "linux-image-cloud-amd64"
_SHELL = "busybox-static"
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
)
"""In the order of their dependencies; ext4 is part of the kernel."""
RECORD_BYTES = 16 * 1024

SCRIPT = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /disk
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in {" ".join(_MODULES)}; do insmod /modules/$module.ko || poweroff -f; done
mount -t ext4 /dev/vda /disk || poweroff -f
mkdir -p /disk/records

# A record is named by its number and its hash when it is on the disk, and told of when its name is.
work() {{
  number=0
  while [ ! -e /enough ]; do
    number=$((number + 1))
    dd if=/dev/urandom of=/disk/records/new bs={RECORD_BYTES} count=1 2>/dev/null || break
    sync
    mv /disk/records/new "/disk/records/$number-$(sha256sum < /disk/records/new | cut -d ' ' -f 1)"
    sync
    echo "record $number"
    sleep 0.1
  done
}}
work &

stty raw -echo < /dev/ttyS1
exec 3<> /dev/ttyS1
tell() {{ echo "$1" >&3; }}
tell "attr/PVAddons/MajorVersion 7"
tell "attr/PVAddons/MinorVersion 30"
tell "control/feature-shutdown 1"
tell "data/os_name Linux of the tests"
tell "data/os_uname $(uname -r)"
tell "data/updated 1"
while read -r line <&3; do
  case "$line" in
    "control/shutdown poweroff")
      tell "control/shutdown"
      touch /enough
      wait
      umount /disk
      echo "unmounted"
      poweroff -f ;;
  esac
done
"""


class Linux:
    """``arguments`` of QEMU that boot it; what it needs is under build/, made once."""

    memory_mib = 96

    def __init__(self, kernel: Path, first_files: Path) -> None:
        words = "console=ttyS0 quiet panic=-1 no_timer_check tsc=unstable random.trust_cpu=on"
        self.arguments = [
            "-cpu",
            "max",
            "-kernel",
            str(kernel),
            "-initrd",
            str(first_files),
            "-append",
            words,
        ]


@pytest.fixture(scope="session")
def linux() -> Linux:
    """The test is skipped with the reason where Debian's packages are not to be had."""
    with alone():
        kernel = _fetched(_real_name(), "./boot/vmlinuz-*", *(f"*/{name}.ko" for name in _MODULES))
        shell = _fetched(_SHELL, "./bin/busybox")
        [image] = kernel.glob("boot/vmlinuz-*")
        files = {"init": SCRIPT.encode(), "bin/busybox": (shell / "bin/busybox").read_bytes()}
        for name in _MODULES:
            [module] = kernel.rglob(f"{name}.ko")
            files[f"modules/{name}.ko"] = module.read_bytes()
        first_files = BUILD / "initramfs.gz"
        first_files.write_bytes(gzip.compress(_archive(files), 1))
    return Linux(image, first_files)


def _real_name() -> str:
    """Of the package that the virtual one stands for."""
    for line in needed(["apt-cache", "depends", _KERNEL]).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    pytest.skip(
        f"apt knows no package {_KERNEL}: it is not for this kind of processor, or its lists are empty"
    )


def _fetched(package: str, *wanted: str) -> Path:
    """The files of a package that match, unpacked and not installed."""
    folder = BUILD / package
    if not folder.is_dir():
        new = BUILD / f"{package}.new"
        subprocess.run(["rm", "-rf", new], check=True)
        new.mkdir()
        needed(["apt-get", "-qq", "download", package], cwd=new)
        [archive] = new.glob("*.deb")
        unpack = f'dpkg-deb --fsys-tarfile "$1" | tar -x --wildcards {" ".join(map(repr, wanted))}'
        subprocess.run(["bash", "-euo", "pipefail", "-c", unpack, "bash", archive], check=True, cwd=new)
        archive.unlink()
        new.rename(folder)
    return folder


def _archive(files: dict[str, bytes]) -> bytes:
    """As the kernel unpacks it (Linux: Documentation/driver-api/early-userspace/buffer-format.rst)."""
    folders = sorted({name.rpartition("/")[0] for name in files} - {""})
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100755, content) for name, content in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    archive = b""
    for number, (name, mode, content) in enumerate(entries):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(f"{field:08x}".encode() for field in fields)
        archive += _padded(head + path) + _padded(content)
    return archive


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
