"""The configuration of NATS: mutual TLS, nothing acknowledged before it is on disk, to each what it needs.

A certificate's common name is its NATS user (docs.nats.io: ``verify_and_map``). A service that was taken over
can tell lies of its own and no others: it publishes its own events, takes from its own consumers, hears only
what is sent to it, and removes nothing. The containers include the same users (``deploy/certificates.py``).
"""

import json
from pathlib import Path

from xenkeep.home import SERVICES, Home

EVENTS, WORK, DEAD = "XENKEEP_EVENTS", "XENKEEP_WORK", "XENKEEP_DEAD"
GIVE_WORK = ("mover", "scheduler")
UPGRADES_STREAMS = "scheduler"
"""The one that may add subjects to a stream that is there; the others wait until it has."""


def nats_config(home: Home, folder: Path) -> str:
    """The text of ``nats.conf``; ``folder`` gets the store."""
    ca, certificate, key = home.certificate("nats")
    return f"""# Written by xenkeep; changes are overwritten.
server_name: xenkeep
listen: "{home.nats_url.removeprefix("tls://")}"
max_payload: 8MB
jetstream {{
  store_dir: "{folder / "store"}"
  sync_interval: always
}}
tls {{
  ca_file: "{ca}"
  cert_file: "{certificate}"
  key_file: "{key}"
  verify_and_map: true
  handshake_first: true
  timeout: 5
}}
{authorization(home.site)}"""


def authorization(site: str) -> str:
    """The ``authorization`` block for the services of ``site``, which must be one token of a subject."""
    users = [user("admin", [">"], [">"])]
    users += [user(name, may_publish(name, site), [f"{inbox(name)}.>"]) for name in SERVICES]
    return f"authorization {{\n  users: {json.dumps(users, indent=2)}\n}}\n"


def user(name: str, publish: list[str], subscribe: list[str]) -> dict[str, object]:
    """One whose certificate has this common name and nothing else in its subject."""
    return {"user": f"CN={name}", "permissions": {"publish": publish, "subscribe": subscribe}}


def inbox(service: str) -> str:
    """Where a service is answered, and JetStream delivers what it asked for."""
    return f"_INBOX.{service}"


def may_publish(service: str, site: str) -> list[str]:
    """Subjects of a service: its events, its dead letters, and the requests JetStream takes from it."""
    consumers = {EVENTS: [f"mover-{site}" if service == "mover" else service]}
    if service == "mover":
        consumers[WORK] = [f"work-{site}-transfer"]
    subjects = [f"xenkeep.{service}.v1.>", "xenkeep.common.v1.>"]
    subjects += ["xenkeep.work.>"] if service in GIVE_WORK else []
    for stream in (EVENTS, WORK, DEAD):
        subjects += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE")]
        subjects += [f"$JS.API.STREAM.UPDATE.{stream}"] if service == UPGRADES_STREAMS else []
    for stream, names in consumers.items():
        for name in names:
            subjects += [f"xenkeep.dead.{name}", f"$JS.ACK.{stream}.{name}.>"]
            for verb in ("CREATE", "DURABLE.CREATE", "INFO", "MSG.NEXT"):
                subjects.append(f"$JS.API.CONSUMER.{verb}.{stream}.{name}")
            subjects.append(f"$JS.API.CONSUMER.CREATE.{stream}.{name}.>")
    return subjects
