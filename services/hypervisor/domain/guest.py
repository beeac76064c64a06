"""What the guest of a VM is, as far as it and its pool tell."""

import re
from collections.abc import Collection
from dataclasses import dataclass

_TAGS = frozenset({"domain-controller", "domain_controller", "domain controller", "dc", "active-directory"})
_NAME = re.compile(r"(?:^|[^a-z0-9])(?:[pb]|ro)?dc[-_ ]?\d*(?:$|[^a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class GuestFacts:
    """Empty where nobody tells. ``agent``: it has reported since the VM was started. ``passthrough``: what of
    its host's hardware it uses."""

    os_name: str = ""
    distribution: str = ""
    os_version: str = ""
    drivers_version: str = ""
    drivers_detected: bool = False
    agent: bool = False
    domain_controller_hint: str = ""
    vtpm: bool = False
    passthrough: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def domain_controller_hint(display_name: str, tags: Collection[str], os_name: str) -> str:
    """Why a VM seems to be a domain controller, "" when nothing points to it.

    No guest tells. A tag is a person's word for it, on whatever operating system; a name counts for Windows
    and for guests that do not tell what they are.
    """
    for tag in sorted(tags):
        if tag.casefold() in _TAGS:
            return f"it has the tag {tag!r}"
    windows = "windows" in os_name.casefold()
    if (windows or not os_name) and _NAME.search(display_name):
        return f"it is called {display_name!r}" + (f" and runs {os_name}" if windows else "")
    return ""
