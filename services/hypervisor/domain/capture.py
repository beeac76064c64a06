"""What a policy says about a capture beyond the method; what does not fit the method is refused."""

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from services.chassis.errors import InvalidInput
from services.hypervisor.domain.differences import WithoutTracking
from services.hypervisor.domain.disk_rules import DiskRules
from services.hypervisor.domain.vm import Method

SHUTDOWN_DEADLINE_S = 300.0
HOOK_DEADLINE_S = 60.0
LONGEST_WAIT_S = 7200.0
MOST_HOOKS = 8


class Moment(Enum):
    """When a hook is called; names as in the contract."""

    BEFORE_SNAPSHOT = "BEFORE_SNAPSHOT"
    AFTER_SNAPSHOT = "AFTER_SNAPSHOT"


@dataclass(frozen=True)
class Hook:
    """A call to an HTTPS server of the operator's. ``url`` is a secret."""

    moment: Moment
    url: str = field(repr=False)
    deadline_s: float = HOOK_DEADLINE_S
    optional: bool = False

    @property
    def host(self) -> str:
        """All of the URL that may be told."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True)
class Offline:
    """How a VM is shut down: ``force`` switches it off when it does not react, ``stay_off`` keeps it off
    until everything has been read.
    """

    deadline_s: float = SHUTDOWN_DEADLINE_S
    force: bool = False
    stay_off: bool = False


@dataclass(frozen=True)
class MemoryWish:
    """``required``: without memory the backup fails. ``domain_controllers``: also of VMs that seem to be
    one."""

    required: bool = True
    domain_controllers: bool = False


class OwnSnapshots(Enum):
    """What a point holds of snapshots that somebody took; names as in the contract."""

    DESCRIBE = "DESCRIBE"
    SAVE = "SAVE"


@dataclass(frozen=True)
class Options:
    """None where nothing is said. Hooks carry secrets: they are not part of what a source remembers."""

    offline: Offline | None = None
    quiesce_required: bool | None = None
    disks: DiskRules = field(default_factory=DiskRules)
    hooks: tuple[Hook, ...] = ()
    without_tracking: WithoutTracking = WithoutTracking.KEEP_SNAPSHOT
    skips_failed_disks: bool = False
    block_migrations: bool = False
    memory: MemoryWish | None = None
    own_snapshots: OwnSnapshots = OwnSnapshots.DESCRIBE


def assert_fitting(options: Options, method: Method) -> None:
    """Raises InvalidInput OPTIONS_INVALID; URLs are not told."""
    if options.offline is not None and method is not Method.OFFLINE:
        raise _invalid("Options for an offline backup fit the method offline only")
    if options.quiesce_required is not None and method is not Method.QUIESCED:
        raise _invalid("Options for quiescing fit the method quiesced only")
    if options.memory is not None and method is not Method.MEMORY:
        raise _invalid("Options for memory fit the method memory only")
    if options.offline is not None and not 0 < options.offline.deadline_s <= LONGEST_WAIT_S:
        raise _invalid("The deadline of a shutdown must be 0 seconds to two hours")
    if len(options.hooks) > MOST_HOOKS:
        raise _invalid(f"There are more than {MOST_HOOKS} hooks")
    for hook in options.hooks:
        if not 0 < hook.deadline_s <= LONGEST_WAIT_S:
            raise _invalid("The deadline of a hook must be 0 seconds to two hours")
        if not _is_https(hook.url):
            raise _invalid("A hook's URL must begin with https:// and hold no user name or password")


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(f"{what}.", reason="OPTIONS_INVALID", hint="Correct the policy.")
