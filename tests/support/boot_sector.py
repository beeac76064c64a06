"""A whole operating system in the first sector of a disk: it says what a guest's tools say, and obeys.

It talks on the second serial port, as ``services/simulator/machines/tools.py`` reads it. Told to power off it
acknowledges and does so by ACPI (SeaBIOS puts the power management at port 600h); told to reboot it does so
by the keyboard's controller. The letters ``f`` and ``b`` tell both orders apart.
"""

from collections.abc import Sequence

SECTOR = 512
_ORIGIN = 0x7C00
_SAYS = "control/feature-shutdown 1\ncontrol/feature-reboot 1\n"

Part = bytes | str | tuple[bytes, str]
"""Code, a label, or a jump or call: its opcode, and where to."""


def boot_sector(name: str, *, powers_off: bool = False) -> bytes:
    """The sector; it calls itself ``name``, and with ``powers_off`` does that as soon as it has said so."""
    text = f"{_SAYS}data/os_name {name}\ndata/updated 1\n"
    afterwards = "off" if powers_off else "wait"
    parts: Sequence[Part] = [
        b"\xfc\x31\xc0\x8e\xd8",  # cld; xor ax, ax; mov ds, ax
        (b"\xbe", "says"),  # mov si, says
        (b"\xe8", "say"),
        (b"\xe9", afterwards),
        "wait",
        b"\xba\xfd\x02\xec\xa8\x01\x74\xf8",  # mov dx, 2FDh; in al, dx; test al, 1; jz wait
        b"\xba\xf8\x02\xec",  # mov dx, 2F8h; in al, dx
        b"\x3c\x66\x75\x03",  # cmp al, 'f'; jne over the jump
        (b"\xe9", "off"),
        b"\x3c\x62\x75\xe9",  # cmp al, 'b'; jne wait
        (b"\xbe", "done"),
        (b"\xe8", "say"),
        b"\xb0\xfe\xe6\x64\xf4",  # mov al, FEh; out 64h, al; hlt
        "off",
        (b"\xbe", "done"),
        (b"\xe8", "say"),
        b"\xba\x04\x06\xb8\x00\x20\xef\xf4",  # mov dx, 604h; mov ax, 2000h; out dx, ax; hlt
        "say",
        b"\xac\x84\xc0\x74\x12\x88\xc3",  # lodsb; test al, al; jz ret; mov bl, al
        b"\xba\xfd\x02\xec\xa8\x20\x74\xfb",  # mov dx, 2FDh; in al, dx; test al, 20h; jz in
        b"\x88\xd8\xba\xf8\x02\xee\xeb\xe9\xc3",  # mov al, bl; mov dx, 2F8h; out dx, al; jmp say; ret
        "done",
        b"control/shutdown\n\0",
        "says",
        text.encode() + b"\0",
    ]
    code = _assembled(parts)
    return code.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def _assembled(parts: Sequence[Part]) -> bytes:
    places: dict[str, int] = {}
    at = 0
    for part in parts:
        if isinstance(part, str):
            places[part] = at
        else:
            at += len(part) if isinstance(part, bytes) else 3
    code = b""
    for part in parts:
        if isinstance(part, bytes):
            code += part
        elif isinstance(part, tuple):
            opcode, target = part
            absolute = opcode == b"\xbe"
            number = _ORIGIN + places[target] if absolute else places[target] - len(code) - 3
            code += opcode + (number & 0xFFFF).to_bytes(2, "little")
    assert len(code) <= SECTOR - 2, len(code)
    return code
