"""Records of consoles (xapi: ocaml/xapi/xapi_xenops.ml ``update_vm``, dbsync_master.ml
``refresh_console_urls``).

A VM has a screen while it has a domain; control domains have a screen and a line for text.
"""

from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.pool import Pool

CONTROL_DOMAIN_PROTOCOLS = ("rfb", "vt100")
_HTTPS = 443


def follow(pool: Pool, vm: str) -> None:
    """After the VM started, stopped or moved: its screen is where it is, and gone if it is nowhere."""
    row = pool.db.row("VM", vm)
    host = row["resident_on"] if row["power_state"] in ("Running", "Paused") else NULL_REF
    place = _place(pool, host) if host != NULL_REF else None
    shown = False
    for console in row["consoles"]:
        if place is not None and pool.db.row("console", console)["location"].startswith(f"{place}?"):
            shown = True
        else:
            pool.db.delete("console", console)
    if place is not None and not shown:
        uuid = pool.ids.new()
        pool.create("console", uuid=uuid, VM=vm, protocol="rfb", location=f"{place}?uuid={uuid}")


def add_to_control_domain(pool: Pool, vm: str, host: str) -> None:
    for protocol in CONTROL_DOMAIN_PROTOCOLS:
        console = pool.create("console", VM=vm, protocol=protocol)
        pool.db.set("console", console, "location", f"{_place(pool, host)}?ref={console}")


def _place(pool: Pool, host: str) -> str:
    """Where the host shows consoles. A real one always listens on 443."""
    port = pool.description.https_port
    return f"https://{pool.db.row('host', host)['address']}{f':{port}' if port != _HTTPS else ''}/console"
