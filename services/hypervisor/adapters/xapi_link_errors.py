"""What is said when a pool does not let us in, or should not."""

from services.chassis.errors import FailedPrecondition, Unauthenticated, Unavailable


def unreachable(pool: str, tried: str) -> Unavailable:
    return Unavailable(
        f"No member of pool {pool} answers as it should ({tried or 'no address is known'}).",
        reason="POOL_UNREACHABLE",
        hint="Check that a host is up, its toolstack runs and the network is open; it is tried again.",
    )


def contested(pool: str, dispute: str) -> Unavailable:
    return Unavailable(
        f"More than one host leads pool {pool}, and it is not used until most of its hosts follow one that "
        f"answers ({dispute}).",
        reason="POOL_CONTESTED",
        hint="On the coordinator that is to stay: xe pool-recover-slaves. Or restart the toolstack of the "
        "former one (xe-toolstack-restart). It is looked at again all the time.",
    )


def outcome_unknown(pool: str, method: str) -> Unavailable:
    return Unavailable(
        f"The connection to pool {pool} broke while {method} was under way; it may have been executed.",
        reason="POOL_OUTCOME_UNKNOWN",
        hint="Repeat the request: what was made is found and used.",
    )


def credentials_refused(pool: str, username: str) -> Unauthenticated:
    return Unauthenticated(
        f"Pool {pool} refused the password of {username!r}, or the account.",
        reason="POOL_CREDENTIALS_REFUSED",
        hint="Add the pool again with the right user name and password.",
    )


def certificate_changed(address: str, pinned: str, presented: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{address} presents the certificate {presented}, but {pinned} was agreed to. Nothing was sent.",
        reason="CERTIFICATE_CHANGED",
        hint="Compare the fingerprint on the host itself; if it is right, add the pool again with it.",
        metadata={"address": address, "sha256": presented},
    )
