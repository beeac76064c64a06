"""What a host's own console would show or do (xapi: ocaml/xapi/xapi_host.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


async def get_log(call: Call, host: str) -> str:
    """Base64 of nothing: a simulated host keeps no log."""
    call.db.row("host", host)
    return ""


async def dmesg(call: Call, host: str) -> str:
    call.db.row("host", host)
    return ""


async def list_methods(call: Call) -> list[str]:
    """Raises ``NOT_IMPLEMENTED``, and under this name (recorded)."""
    raise XapiFailure("NOT_IMPLEMENTED", "list_method")


async def has_extension(call: Call, host: str, name: str) -> bool:
    call.db.row("host", host)
    return False


async def call_extension(call: Call, host: str, name: str) -> str:
    """Raises ``MESSAGE_METHOD_UNKNOWN``: no host here has any."""
    call.db.row("host", host)
    raise XapiFailure("MESSAGE_METHOD_UNKNOWN", name)


async def set_hostname_live(call: Call, host: str, hostname: str) -> None:
    """Raises ``HOST_NAME_INVALID``."""
    if not hostname or not all(char.isalnum() or char in "-." for char in hostname):
        raise XapiFailure("HOST_NAME_INVALID", "the name may have letters, digits, hyphens and dots")
    call.db.set("host", host, "hostname", hostname)


async def set_display(call: Call, host: str, value: str) -> str:
    call.db.set("host", host, "display", value)
    return value


async def enable_display(call: Call, host: str) -> str:
    return await set_display(call, host, "enabled")


async def disable_display(call: Call, host: str) -> str:
    return await set_display(call, host, "disabled")


async def nothing_to_do(call: Call, host: str, *_: object) -> None:
    """Work that a simulated host never has: data it shares at once, packs and logs it has none of."""
    call.db.row("host", host)


async def refuse_wlb(call: Call, *_: object) -> None:
    """Raises ``WLB_NOT_INITIALIZED``."""
    raise XapiFailure("WLB_NOT_INITIALIZED")
