"""Mail by SMTP with TLS enforced: STARTTLS (RFC 3207), or TLS from the first byte on port 465 (RFC 8314)."""

import aiosmtplib

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition, Unavailable, XenkeepError
from services.notifier.adapters.client_tls import client_tls
from services.notifier.adapters.email_message import email_message
from services.notifier.adapters.peer_errors import said, talking_to
from services.notifier.domain.delivery import Delivery, Receipt
from services.notifier.domain.settings import Email
from services.notifier.ports import Files


class SmtpSink:
    """One connection and one recipient per delivery: a refused neighbour makes nobody hear twice."""

    def __init__(self, settings: Email, files: Files, *, hostname: str, deadline_s: float = 45.0) -> None:
        """`hostname` is how we greet (EHLO)."""
        self._settings = settings
        self._files = files
        self._hostname = hostname
        self._deadline_s = deadline_s

    async def deliver(self, delivery: Delivery) -> Receipt:
        settings = self._settings
        peer = f"The mail server {settings.host}:{settings.port}"
        password = await self._files.password(settings.password_file) if settings.username else None
        implicit = settings.port == Email.IMPLICIT_TLS_PORT
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            use_tls=implicit,
            start_tls=not implicit,
            tls_context=client_tls(await self._files.certificates(settings.ca_file)),
            local_hostname=self._hostname,
            timeout=self._deadline_s,
        )
        async with talking_to(peer, self._deadline_s):
            try:
                return await self._send(client, delivery, peer, password)
            finally:
                client.close()

    async def _send(
        self, client: aiosmtplib.SMTP, delivery: Delivery, peer: str, password: Secret | None
    ) -> Receipt:
        message = email_message(delivery, self._settings.sender)
        try:
            await client.connect()
            if password is not None:
                await client.login(self._settings.username, password.reveal())
            _, answer = await client.send_message(
                message, sender=self._settings.sender, recipients=[delivery.recipient]
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            first = error.recipients[0]
            raise _refusal(peer, first.code, first.message) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise FailedPrecondition(
                f"{peer} does not accept the user name and password ({error.code}).",
                reason="PEER_LOGIN",
                hint="Correct the user name, or the password in its file; what waits is then sent.",
            ) from None
        except (aiosmtplib.SMTPConnectResponseError, aiosmtplib.SMTPHeloError) as error:
            raise Unavailable(
                f"{peer} does not serve us now: {error.code} {said(error.message)}.",
                reason="PEER_BUSY",
                hint="If it stays so, ask the operator of the mail server whether it wants mail from here.",
            ) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(peer, error.code, error.message) from None
        except aiosmtplib.SMTPException as error:
            if isinstance(error, OSError):  # lost, or timed out: told where the connection is known
                raise
            raise FailedPrecondition(
                f"{peer} cannot do what this channel needs: {said(error.message)}.",
                reason="PEER_UNABLE",
                hint="Mail is only sent with TLS, and passwords only where the server offers a login.",
            ) from None
        return Receipt(True, f"The mail server took it: {said(answer)}")


def _refusal(peer: str, code: int, message: str) -> XenkeepError:
    """RFC 5321 section 4.2.1: 5yz is permanent, all else may pass.

    No cause is chained: aiosmtplib's exceptions may hold what was said during the login.
    """
    kind = FailedPrecondition if 500 <= code <= 599 else Unavailable
    return kind(
        f"{peer} refused the message with {code}: {said(message)}.",
        reason="PEER_REFUSED",
        hint="Check sender, recipient and account with the operator of the mail server.",
    )
