"""What a host says of the machine it is (xapi: ocaml/xapi/create_misc.ml, xapi_host.ml ``bios_strings``)."""

from collections.abc import Mapping, Sequence
from typing import Any

VENDOR = "GenuineIntel"
MODEL_NAME = "Simulated CPU"
SPEED_MHZ = 2400
FAMILY, MODEL, STEPPING = 6, 85, 7
FLAGS = "fpu de tsc msr pae mce cx8 apic sep mca cmov pat clflush acpi mmx fxsr sse sse2 ht nx lm"
HARDWARE_PLATFORMS = [0, 1, 2]
"""Virtual hardware that VMs may have been made for."""
_MANUFACTURER, _PRODUCT = "Simulated", "Machine"


def bios_strings(serial: str) -> dict[str, str]:
    """host.bios_strings, which VMs of a manufacturer's licence may copy."""
    return {
        "bios-vendor": _MANUFACTURER,
        "bios-version": "1.0",
        "system-manufacturer": _MANUFACTURER,
        "system-product-name": _PRODUCT,
        "system-version": "1",
        "system-serial-number": serial,
        "baseboard-manufacturer": _MANUFACTURER,
        "baseboard-product-name": _PRODUCT,
        "baseboard-version": "1",
        "baseboard-serial-number": serial,
        "hp-rombios": "",
        "oem-1": "Xen",
        "oem-2": "MS_VM_CERT/SHA1/bdbeb6e0a816d43fa6d3fe8aaef04c2bad9d3e3d",
    }


def processor(cpus: int) -> dict[str, str]:
    """host.cpu_info, but for its features."""
    return {
        "cpu_count": str(cpus),
        "socket_count": "1",
        "vendor": VENDOR,
        "speed": f"{SPEED_MHZ}.000",
        "modelname": MODEL_NAME,
        "family": str(FAMILY),
        "model": str(MODEL),
        "stepping": str(STEPPING),
        "flags": FLAGS,
    }


def one_cpu(number: int) -> dict[str, Any]:
    """Fields of a host_cpu."""
    return {
        "number": number,
        "vendor": VENDOR,
        "speed": SPEED_MHZ,
        "modelname": MODEL_NAME,
        "family": FAMILY,
        "model": MODEL,
        "stepping": str(STEPPING),
        "flags": FLAGS,
    }


def of_all(infos: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Counts of pool.cpu_info: those of all hosts together (xapi: create_misc.ml ``create_pool_cpuinfo``)."""
    names = ("cpu_count", "socket_count")
    return {name: str(sum(int(info.get(name, "0")) for info in infos)) for name in names}
