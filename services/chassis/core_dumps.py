"""No service leaves its keys in a core dump; how, ``xenkeep.core_dumps`` says."""

from xenkeep.core_dumps import refusal_to_forbid

from services.chassis.errors import FailedPrecondition


def forbid_core_dumps() -> None:
    """For this process, until it ends.

    Raises FailedPrecondition CORE_DUMPS_POSSIBLE when the system does not grant it.
    """
    if why := refusal_to_forbid():
        raise FailedPrecondition(
            f"This process may leave its keys in a core dump: {why}.",
            reason="CORE_DUMPS_POSSIBLE",
            hint="Let the service call prctl(PR_SET_DUMPABLE); a seccomp profile may forbid it.",
        )
