"""``xenkeep pool``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from xenkeep.cli.asking import ask_consent
from xenkeep.cli.output import Json, console, details, last_part, moment, show, show_all, show_data, word
from xenkeep.cli.session import SecretFile, client, secret
from xenkeep.errors import Error
from xenkeep.hypervisor.v1 import pool_pb2

_COMPARE = "Compare it with the host's own, then name it with --certificate."

app = typer.Typer(help="Pools of hosts that Xenkeep protects.", no_args_is_help=True)


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="Any member of the pool: host or host:port.")],
    username: Annotated[str, typer.Option(help="Account on the pool.")] = "root",
    password_file: SecretFile = None,
    certificate: Annotated[
        str, typer.Option(help="SHA-256 the host's certificate must have; asked for without.")
    ] = "",
    json_: Json = False,
) -> None:
    """Add a pool: shows the host's certificate, pins it once you agree, and reads the inventory."""
    with client() as xenkeep:
        found = xenkeep.pools.probe(address)
        wanted = certificate.replace(":", "").lower()
        if wanted and wanted != found.sha256:
            raise Error(
                "FailedPrecondition",
                "CERTIFICATE_MISMATCH",
                f"{address} presents the certificate {found.sha256}, not {wanted}.",
                "Compare it on the host itself: somebody may sit between.",
            )
        if not json_:
            console.print(_certificate(address, found))
        if not wanted and not ask_consent("Is this the pool's certificate?", _COMPARE):
            raise Error("Cancelled", "CERTIFICATE_REFUSED", "Nothing was added.")
        password = secret(password_file, "--password-file", f"Password of {username}")
        pool = xenkeep.pools.add(address, username, password, found.sha256)
    show(pool, lambda: details(_lines(pool)), json_=json_)


@app.command("check-database")
def check_database(
    pool: Annotated[str, typer.Argument(help="Pool by name or UUID.")],
    file: Annotated[Path, typer.Argument(help="A dump exported from a restore point.")],
    json_: Json = False,
) -> None:
    """Ask a pool whether it would take a dump of its database back. Nothing is restored."""
    if not file.is_file():
        raise Error(
            "InvalidInput",
            "FILE_MISSING",
            f"{file} is not a file.",
            "Export a restore point of the pool first: `xenkeep point export`.",
        )
    with client() as xenkeep:
        answer = xenkeep.pools.check_database(pool, file)
    if not answer.accepted:
        raise Error(
            "FailedPrecondition",
            "DUMP_NOT_ACCEPTED",
            f"The pool would not take it back: {answer.message}",
            "Use a dump of this pool, made by the same release.",
        )
    if json_:
        show_data({"accepted": True})
    else:
        console.print("The pool would take it back.")


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the pools."""
    with client() as xenkeep:
        show_all(
            xenkeep.pools.list(),
            ("NAME", "STATE", "HOSTS", "VMS", "PRODUCT", "UUID"),
            lambda pool: (
                pool.display_name,
                word(pool_pb2.Pool.State, pool.state),
                str(len(pool.hosts)),
                str(pool.vm_count),
                pool.product,
                last_part(pool.name),
            ),
            json_=json_,
        )


@app.command("show")
def show_one(name: str, json_: Json = False) -> None:
    """Show a pool, its hosts and what its account lacks."""
    with client() as xenkeep:
        pool = xenkeep.pools.get(name)
    show(pool, lambda: details(_lines(pool)), json_=json_)


@app.command()
def remove(name: str, json_: Json = False) -> None:
    """Forget a pool and its credentials. Restore points stay."""
    with client() as xenkeep:
        pool = xenkeep.pools.get(name)
        xenkeep.pools.remove(pool.name)
    if json_:
        show_data({"removed": pool.name})
    else:
        console.print(f"Removed {pool.display_name}. Its restore points stay.")


def _lines(pool: pool_pb2.Pool) -> list[tuple[str, str]]:
    lines = [
        ("Pool", pool.display_name),
        ("UUID", last_part(pool.name)),
        ("State", word(pool_pb2.Pool.State, pool.state)),
        ("", pool.state_message),
        ("Product", pool.product),
        ("Account", pool.username),
        ("VMs", str(pool.vm_count)),
        ("Added", moment(pool.create_time)),
    ]
    for host in pool.hosts:
        role = "coordinator" if host.host_id == pool.coordinator else "supporter"
        life = "live" if host.live else "dead"
        lines.append(("Host", f"{host.display_name}  {host.address}  {role}, {life}"))
    lines += [("Notice", notice.message) for notice in pool.notices]
    lines += [("Missing right", text) for text in pool.missing_rights]
    return lines


def _certificate(address: str, found: pool_pb2.Certificate) -> Table:
    pairs = ":".join(found.sha256[i : i + 2] for i in range(0, len(found.sha256), 2)).upper()
    return details(
        [
            ("Host", address),
            ("Subject", found.subject),
            ("SHA-256", pairs),
            ("Valid", f"{moment(found.not_before_time)} to {moment(found.not_after_time)}"),
        ]
    )
