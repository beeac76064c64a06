"""A secret that a program prints, such as the client of a key management system."""

import shlex
import subprocess
from typing import Annotated

import typer

from xenkeep.errors import Error

SecretCommand = Annotated[
    str | None,
    typer.Option(
        help="Command that prints the secret, such as the client of a KMS. It is run here, without a shell, "
        "each time; what it prints is kept nowhere."
    ),
]
KeptSecretCommand = Annotated[
    str | None,
    typer.Option(
        help="Command that prints the secret, such as the client of a KMS. It is run here, without a shell, "
        "this once: a mover that opens the repository with what it prints keeps it, sealed, and asks no more."
    ),
]


def printed_secret(command: str) -> str:
    """What the program prints, but for a line break at its end. Its complaints go where ours go.

    Raises Error when it cannot be started, fails, or prints no secret of one line. What it was started with
    and what it printed are in no error: both may be secret.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise Error(
            "InvalidInput",
            "SECRET_COMMAND_INVALID",
            "The command that prints the secret is none: a quote is open, or nothing is there.",
            "Write it as in a shell, without pipes or variables.",
        )
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise _failed(words[0], f"cannot be started: {error.strerror}") from None
    if done.returncode:
        raise _failed(words[0], f"ended with {done.returncode}")
    try:
        text = done.stdout.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise _failed(words[0], "printed what is not text in UTF-8") from None
    if not text or len(text.splitlines()) != 1:
        raise _failed(words[0], "printed more than one line" if text else "printed nothing")
    return text


def _failed(program: str, what: str) -> Error:
    return Error(
        "FailedPrecondition",
        "SECRET_COMMAND_FAILED",
        f"{program}, which was to print the secret, {what}.",
        "Start it by itself: it has to print the secret, one line and nothing else, and end with 0.",
    )
