"""``xenkeep events``."""

import asyncio
import json
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer

from xenkeep.cli.output import Json, console
from xenkeep.cli.session import home_path
from xenkeep.events import tail as follow
from xenkeep.home import Home

app = typer.Typer(help="Facts as they happen.", no_args_is_help=True)


@app.command()
def tail(
    type_: Annotated[
        str, typer.Option("--type", help="Only these types, a NATS pattern: 'xenkeep.scheduler.v1.*'.")
    ] = "xenkeep.*.v1.>",
    all_: Annotated[bool, typer.Option("--all", help="Begin with the oldest event kept.")] = False,
    count: Annotated[int, typer.Option(help="End after so many events; 0 never ends.")] = 0,
    json_: Json = False,
) -> None:
    """Print events as they happen, until Ctrl-C; with --json one line each."""
    home = Home.open(home_path())

    async def run() -> None:
        seen = 0
        async for event in follow(home, type_, since_start=all_):
            if json_:
                typer.echo(json.dumps(asdict(event)))
            else:
                console.print(f"{event.time}  {event.type}  {event.subject}", soft_wrap=True)
            seen += 1
            if seen == count:
                return

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
