"""Failures as a XenServer reports them: a code and its parameters."""


class XapiFailure(Exception):
    """What becomes ``ErrorDescription``. ``params`` are texts in the order the code declares them."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(code, *params)
        self.code = code
        self.params = params

    @property
    def description(self) -> list[str]:
        """The code, then its parameters."""
        return [self.code, *self.params]

    def __str__(self) -> str:
        return ", ".join(self.description)


def internal_error(text: str) -> XapiFailure:
    """The failure a xapi gives for an exception of its own; ``text`` is how OCaml prints the exception."""
    return XapiFailure("INTERNAL_ERROR", text)


def ocaml_failure(text: str) -> XapiFailure:
    """``INTERNAL_ERROR`` with OCaml's ``Failure(...)``."""
    return internal_error(f'Failure("{text}")')


def handle_invalid(cls: str, ref: str) -> XapiFailure:
    return XapiFailure("HANDLE_INVALID", cls, ref)


def uuid_invalid(cls: str, uuid: str) -> XapiFailure:
    return XapiFailure("UUID_INVALID", cls, uuid)
