"""Questions to the person at the terminal; where nobody sits there, the option that answers them is named."""

import warnings
from getpass import GetPassWarning

import typer

from xenkeep.errors import Error


def ask_secret(prompt: str, option: str, *, confirm: bool = False) -> str:
    """A secret typed unseen; raises InvalidInput NOBODY_TO_ASK where it could not be typed unseen."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)
            return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    except GetPassWarning:
        typer.echo(err=True)
        raise _nobody(prompt, f"Name a file that holds it with {option}.") from None


def ask_consent(question: str, hint: str) -> bool:
    """Whether the person agrees; raises InvalidInput NOBODY_TO_ASK when the input ends without an answer."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        if typer.get_text_stream("stdin").isatty():
            raise
        typer.echo(err=True)
        raise _nobody(question, hint) from None


def _nobody(question: str, hint: str) -> Error:
    return Error("InvalidInput", "NOBODY_TO_ASK", f"There is no terminal to ask on: {question}", hint)
