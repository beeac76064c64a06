"""TLS to a server known by its certificate, not by an authority.

Hosts of a pool have self-signed certificates. The pool's own answer says which certificate a host has, so a
connection is to that very certificate or to nobody. Dates and names in it do not matter then: the handshake
proves that the peer holds its key (RFC 8446 section 4.4.3).
"""

import binascii
import contextlib
import ipaddress
import re
import socket
import ssl

from services.chassis.errors import InvalidInput, Unauthenticated, Unavailable

_FIRST_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def pinned_der(certificate_pem: str, peer: str) -> bytes:
    """The first certificate of a PEM text, which is the server's own. ``InvalidInput`` when there is none."""
    found = _FIRST_CERTIFICATE.search(certificate_pem)
    with contextlib.suppress(binascii.Error, ValueError):
        if found and (der := binascii.a2b_base64(found.group(1))):
            return der
    raise InvalidInput(
        f"The certificate to expect of {peer} cannot be read.",
        reason="CERTIFICATE_UNREADABLE",
        hint="It must be a PEM certificate.",
    )


def pinned_tls(
    raw: socket.socket, *, certificate_pem: str, server_name: str, peer: str, cuts_are_errors: bool = False
) -> ssl.SSLSocket:
    """Wrap a connected socket, whose timeout bounds each step of the handshake.

    ``server_name`` is sent as SNI when it is a DNS name. Raises ``Unauthenticated`` when the server shows
    another certificate, ``Unavailable`` when there is no handshake; the socket is closed then.
    """
    expected = pinned_der(certificate_pem, peer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is compared as a whole, below
    try:
        wrapped = context.wrap_socket(
            raw, server_hostname=_dns_name(server_name), suppress_ragged_eofs=not cuts_are_errors
        )
    except (OSError, ValueError) as error:
        raw.close()
        raise Unavailable(
            f"No TLS connection to {peer}: {error}.", reason="TLS_FAILED", metadata={"peer": peer}
        ) from error
    if wrapped.getpeercert(binary_form=True) != expected:
        wrapped.close()
        raise Unauthenticated(
            f"{peer} shows another certificate than the one its pool announced.",
            reason="CERTIFICATE_MISMATCH",
            hint="Was the host's certificate replaced? If not, somebody stands in between.",
            metadata={"peer": peer},
        )
    return wrapped


def _dns_name(name: str) -> str | None:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name or None
    return None
