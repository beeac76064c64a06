"""TLS towards servers that are not ours: syslog collectors, mail relays, SMS centres."""

import ssl

from services.chassis.errors import FailedPrecondition


def client_tls(ca_pem: str) -> ssl.SSLContext:
    """Verify name and chain, TLS 1.2 or newer; trust `ca_pem` alone, or the system's authorities when empty.

    Raises `FailedPrecondition` when `ca_pem` is no certificate.
    """
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except (ssl.SSLError, ValueError) as error:
        raise FailedPrecondition(
            "The channel's authority is not a PEM certificate.",
            reason="CA_UNREADABLE",
            hint="Paste the certificate with its BEGIN and END lines.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
