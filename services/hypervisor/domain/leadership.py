"""Who leads a pool, when its hosts do not agree.

Without high availability nothing stops a coordinator that was cut off when another one took its place: both
take logins, each with a database of its own (xapi: ocaml/xapi/xapi_pool_transition.ml; xapi.ml
``check_no_other_masters`` asks only when a toolstack starts). What decides is whom the hosts follow. The
databases' generations do not: both count on from the same number, and the busier one is ahead. With high
availability a host that is not in the pool switches itself off, and none is made coordinator by hand
(HA_IS_ENABLED).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What the host at ``address`` said when it was asked for a login. ``follows`` is the address of the
    coordinator it follows, its own if it took the login, and empty if it did not tell; ``words`` say why not,
    or what else there is to tell of it.
    """

    address: str
    follows: str
    words: str = ""


@dataclass(frozen=True)
class Leadership:
    """``leader`` is the address of who leads as far as anybody can tell; empty when nobody claims to, or the
    hosts do not say enough. ``dispute`` says what they said while more than one claim to lead; else empty.
    """

    leader: str
    dispute: str = ""

    @property
    def contested(self) -> bool:
        """Whether more than one host leads."""
        return bool(self.dispute)

    def allows(self, address: str) -> bool:
        """Whether the pool may be used through a host that took our login."""
        return self.leader == address or not (self.contested or self.leader)


def judge(answers: Sequence[Answer]) -> Leadership:
    """``answers`` are those of all hosts of the pool, silent ones too: a majority is one of all hosts.

    Who says that it follows another leads nobody, whatever is said of it: a pool that changes its coordinator
    in good order is not contested. A leader who is no host of the pool is no claim: it may be spelt
    differently.
    """
    known = {each.address for each in answers}
    deposed = {each.address for each in answers if each.follows not in ("", each.address)}
    followers: dict[str, list[str]] = {}
    for each in answers:
        if each.follows in known - deposed:
            followers.setdefault(each.follows, []).append(each.address)
    if len(followers) < 2:
        return Leadership(next(iter(followers), ""))
    elected = [leader for leader, them in followers.items() if 2 * len(them) > len(answers)]
    told = [f"{leader} is followed by {_listed(leader, them)}" for leader, them in sorted(followers.items())]
    told += [f"{each.address} does not tell ({each.words})" for each in answers if not each.follows]
    told += [f"{each.address} {each.words}" for each in answers if each.follows and each.words]
    return Leadership(elected[0] if elected else "", "; ".join(told))


def _listed(leader: str, followers: list[str]) -> str:
    others = sorted(set(followers) - {leader})
    themselves = ["itself"] if leader in followers else []
    return ", ".join([*themselves, *others])
