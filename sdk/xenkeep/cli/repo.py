"""``xenkeep repo``."""

from typing import Annotated

import typer

from xenkeep.cli import repo_copy, repo_keys, repo_prune, repo_repair, repo_stats, repo_verify
from xenkeep.cli.following import follow_transfer
from xenkeep.cli.offline import url_of
from xenkeep.cli.output import (
    Json,
    as_data,
    console,
    details,
    last_part,
    moment,
    show,
    show_all,
    show_data,
    size,
    table,
    word,
)
from xenkeep.cli.secret_command import KeptSecretCommand
from xenkeep.cli.session import SecretFile, client, secret
from xenkeep.errors import Error
from xenkeep.mover.v1 import repository_pb2

app = typer.Typer(help="Repositories: places with backup data.", no_args_is_help=True)
app.add_typer(repo_keys.app, name="key")
app.command("copy")(repo_copy.copy)
app.command("prune")(repo_prune.prune)
app.command("trash")(repo_prune.trash)
app.command("repair")(repo_repair.repair)
app.command("repair-header")(repo_repair.repair_header)
app.command("stats")(repo_stats.stats)
app.command("verify")(repo_verify.verify)
Where = Annotated[str, typer.Argument(help="Directory, or URL (file:///...).")]


@app.command()
def create(
    name: str,
    where: Where,
    passphrase_file: SecretFile = None,
    passphrase_command: KeptSecretCommand = None,
    json_: Json = False,
) -> None:
    """Make a repository in an empty directory. Prints the recovery key once: keep it elsewhere."""
    passphrase = secret(
        passphrase_file,
        "--passphrase-file",
        "Passphrase of the repository",
        confirm=True,
        command=passphrase_command,
    )
    with client() as xenkeep:
        made = xenkeep.repositories.create(name, url_of(where), passphrase)
    if json_:
        show_data(as_data(made))
        return
    console.print(details(_lines(made.repository)))
    console.print("\nRecovery key (shown once; print it and keep it apart from this machine):")
    console.print(f"  {made.recovery_key}", style="bold", soft_wrap=True)


@app.command("import")
def import_(
    name: str,
    where: Where,
    secret_file: SecretFile = None,
    secret_command: KeptSecretCommand = None,
    json_: Json = False,
) -> None:
    """Take an existing repository into service, by passphrase or recovery key."""
    key = secret(secret_file, "--secret-file", "Passphrase or recovery key", command=secret_command)
    with client() as xenkeep:
        repository = xenkeep.repositories.import_(name, url_of(where), key)
    show(repository, lambda: details(_lines(repository)), json_=json_)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the repositories."""
    with client() as xenkeep:
        show_all(
            xenkeep.repositories.list(),
            ("NAME", "STATE", "POINTS", "STORED", "FREE", "SITE", "WHERE"),
            lambda each: (
                each.display_name,
                word(repository_pb2.Repository.State, each.state),
                str(each.point_count),
                size(each.stored_bytes),
                size(each.free_bytes),
                each.site,
                each.url,
            ),
            json_=json_,
        )


@app.command("show")
def show_one(name: str, json_: Json = False) -> None:
    """Show a repository."""
    with client() as xenkeep:
        repository = xenkeep.repositories.get(name)
    show(repository, lambda: details(_lines(repository)), json_=json_)


@app.command()
def probe(where: Where, json_: Json = False) -> None:
    """Try what a place for repositories can be trusted with. Exit code 6 when it cannot be used."""
    with client() as xenkeep:
        report = xenkeep.repositories.probe(url_of(where))
    if json_:
        show_data(as_data(report))
    else:
        console.print(
            table(
                ("CHECK", "VERDICT", "MEANING"),
                (
                    (each.check, word(repository_pb2.ProbeFinding.Verdict, each.verdict), each.message)
                    for each in report.findings
                ),
            )
        )
    if any(each.verdict == repository_pb2.ProbeFinding.VERDICT_BAD for each in report.findings):
        raise Error(
            "FailedPrecondition", "STORE_UNSUITABLE", f"No repository is safe at {where}.", "See what is bad."
        )


@app.command()
def rebuild(name: str, json_: Json = False) -> None:
    """Make a repository's index again from its packs alone, then the catalog's view of it."""
    with client() as xenkeep:
        transfer = follow_transfer(xenkeep, xenkeep.repositories.rebuild(name).name, json_=json_)
        synced = xenkeep.restore_points.sync(name)
    if json_:
        show_data({"transfer": as_data(transfer), "catalog": as_data(synced)})
    else:
        console.print(
            f"{transfer.result.checked_objects} packs read, {synced.point_count} restore points,"
            f" {synced.added_count} of them new to the catalog."
        )


def _lines(repository: repository_pb2.Repository) -> list[tuple[str, str]]:
    return [
        ("Repository", repository.display_name),
        ("UUID", last_part(repository.name)),
        ("Where", repository.url),
        ("Site", repository.site),
        ("State", word(repository_pb2.Repository.State, repository.state)),
        ("", repository.state_message),
        ("Format", str(repository.format_version)),
        ("Chunks", size(repository.chunk_bytes)),
        ("Points", str(repository.point_count)),
        ("Stored", size(repository.stored_bytes)),
        ("Free", size(repository.free_bytes)),
        ("Made", moment(repository.create_time)),
    ]
