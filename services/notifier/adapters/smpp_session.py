"""An SMPP 3.4 session as a transceiver: ask, and wait for the answer to exactly that question."""

import asyncio

from services.chassis.errors import FailedPrecondition, Unavailable, XenkeepError
from services.notifier.adapters import smpp_pdu as pdu

MESSAGE = "message"


class SmppSession:
    """Runs over an open connection; bounds on time are the caller's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        self._reader = reader
        self._writer = writer
        self._peer = peer
        self._sequence = 0

    async def bind(self, system_id: str, password: str, system_type: str) -> None:
        """Raises `FailedPrecondition` for wrong credentials, `Unavailable` for any other refusal."""
        await self._ask("bind", pdu.BIND_TRANSCEIVER, pdu.bind_body(system_id, password, system_type))

    async def submit(self, body: bytes) -> str:
        """The message id the SMS centre gave. Raises like `bind`."""
        return pdu.first_text(await self._ask(MESSAGE, pdu.SUBMIT_SM, body))

    async def unbind(self) -> None:
        await self._ask("unbind", pdu.UNBIND, b"")

    async def _ask(self, what: str, command: int, body: bytes) -> bytes:
        self._sequence += 1
        await self._send(pdu.unit(command, self._sequence, body))
        while True:
            header, answer = await self._receive()
            if (
                header.command in (command | pdu.RESPONSE, pdu.GENERIC_NACK)
                and header.sequence == self._sequence
            ):
                if header.status != pdu.OK or header.command == pdu.GENERIC_NACK:
                    raise self._refusal(what, header.status)
                return answer
            await self._answer(header)

    async def _answer(self, header: pdu.Header) -> None:
        """The peer asks in between. Messages for us are not ours to take: it shall keep them."""
        match header.command:
            case pdu.ENQUIRE_LINK:
                await self._send(pdu.unit(header.command | pdu.RESPONSE, header.sequence))
            case pdu.DELIVER_SM:
                body, status = b"\0", pdu.TEMPORARY_APPLICATION_ERROR
                await self._send(pdu.unit(header.command | pdu.RESPONSE, header.sequence, body, status))
            case _:
                raise Unavailable(
                    f"{self._peer} sent command 0x{header.command:08X} where an answer was due.",
                    reason="PEER_PROTOCOL",
                    hint="Check that it speaks SMPP 3.4 and accepts transceiver binds.",
                )

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _receive(self) -> tuple[pdu.Header, bytes]:
        data = await self._reader.readexactly(pdu.HEADER_BYTES)
        try:
            header = pdu.parse_header(data)
        except ValueError as error:
            raise Unavailable(
                f"{self._peer} does not speak SMPP: {error}.",
                reason="PEER_PROTOCOL",
                hint="Check the port and the TLS setting of this channel.",
            ) from error
        return header, await self._reader.readexactly(header.length - pdu.HEADER_BYTES)

    def _refusal(self, what: str, status: int) -> XenkeepError:
        kind = FailedPrecondition if status in pdu.FOR_GOOD else Unavailable
        return kind(
            f"{self._peer} refused the {what} with {pdu.described(status)}.",
            reason="PEER_REFUSED" if what == MESSAGE else "PEER_LOGIN",
            hint="Check the account, the numbers and the sender with the operator of the SMS centre.",
        )
