"""Where updates come from (xapi: ocaml/xapi/repository.ml). None of it is fetched here."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF


async def introduce(
    call: Call, name: str, description: str, binary_url: str, source_url: str, update: bool, *_: str
) -> str:
    """Raises ``REPOSITORY_ALREADY_EXISTS``, ``INVALID_BASE_URL``."""
    for url in (binary_url, source_url):
        if not url.startswith(("http://", "https://")):
            raise XapiFailure("INVALID_BASE_URL", url)
    for row in call.db.rows("Repository"):
        if name == row["name_label"] or binary_url == row["binary_url"]:
            raise XapiFailure("REPOSITORY_ALREADY_EXISTS", row.ref)
    about = {"name_label": name, "name_description": description, "update": update}
    return call.pool.create("Repository", **about, binary_url=binary_url, source_url=source_url)


async def introduce_bundle(call: Call, name: str, description: str) -> str:
    """Updates that come as one file; there is one such repository. Raises
    ``BUNDLE_REPOSITORY_ALREADY_EXISTS``, ``REPOSITORY_ALREADY_EXISTS``.
    """
    for row in call.db.rows("Repository"):
        if row["origin"] == "bundle":
            raise XapiFailure("BUNDLE_REPOSITORY_ALREADY_EXISTS", row.ref)
    return _made(call, name, description, origin="bundle", update=True)


async def introduce_remote_pool(
    call: Call, name: str, description: str, binary_url: str, certificate: str
) -> str:
    """Updates that another pool has. Raises ``REPOSITORY_ALREADY_EXISTS``, ``INVALID_BASE_URL``."""
    if not binary_url.startswith("https://"):
        raise XapiFailure("INVALID_BASE_URL", binary_url)
    about = {"binary_url": binary_url, "certificate": certificate, "update": True}
    return _made(call, name, description, origin="remote_pool", **about)


def _made(call: Call, name: str, description: str, **about: Any) -> str:
    for row in call.db.rows("Repository"):
        if name == row["name_label"]:
            raise XapiFailure("REPOSITORY_ALREADY_EXISTS", row.ref)
    return call.pool.create("Repository", name_label=name, name_description=description, **about)


async def forget(call: Call, ref: str) -> None:
    """Raises ``REPOSITORY_IS_IN_USE``."""
    if ref in call.db.only("pool")["repositories"]:
        raise XapiFailure("REPOSITORY_IS_IN_USE")
    call.db.delete("Repository", ref)


async def set_all(call: Call, pool: str, refs: list[str]) -> None:
    for ref in refs:
        call.db.row("Repository", ref)
    call.db.set("pool", pool, "repositories", refs)


async def add(call: Call, pool: str, ref: str) -> None:
    call.db.add_to_set("pool", pool, "repositories", call.db.row("Repository", ref).ref)


async def remove(call: Call, pool: str, ref: str) -> None:
    call.db.remove_from_set("pool", pool, "repositories", ref)


async def refuse_sync(call: Call, pool: str, *_: Any) -> None:
    """Raises ``NO_REPOSITORY_ENABLED``, ``SYNC_UPDATES_FAILED``: there is no way out to them."""
    enabled = call.db.row("pool", pool)["repositories"]
    raise XapiFailure(*(["SYNC_UPDATES_FAILED", "no route"] if enabled else ["NO_REPOSITORY_ENABLED"]))


async def refuse_updates(call: Call, host: str, updates: str) -> list[list[str]]:
    """Raises ``HA_IS_ENABLED``, ``NO_REPOSITORY_ENABLED``, ``UPDATEINFO_HASH_MISMATCH``: no updates were
    fetched, so ``updates``, a hash of them, is of others.
    """
    call.db.row("host", host)
    pool = call.db.only("pool")
    if pool["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    raise XapiFailure("UPDATEINFO_HASH_MISMATCH" if pool["repositories"] else "NO_REPOSITORY_ENABLED")


async def check_readiness(call: Call, pool: str, *_: bool) -> list[list[str]]:
    """Nothing stands in the way."""
    call.db.row("pool", pool)
    return []


async def configure_sync(call: Call, pool: str, frequency: str, day: int) -> None:
    call.db.update("pool", pool, update_sync_frequency=frequency, update_sync_day=day)


async def configure_proxy(call: Call, pool: str, url: str, user: str, password: str) -> None:
    """Raises ``INVALID_REPOSITORY_PROXY_URL``, ``INVALID_REPOSITORY_PROXY_CREDENTIAL``."""
    if not url.startswith(("http://", "https://")):
        raise XapiFailure("INVALID_REPOSITORY_PROXY_URL", url)
    if bool(user) != bool(password):
        raise XapiFailure("INVALID_REPOSITORY_PROXY_CREDENTIAL")
    await disable_proxy(call, pool)
    call.db.update("pool", pool, repository_proxy_url=url, repository_proxy_username=user)
    if password:
        call.pool.proxy_password = call.pool.create("secret", value=password)


async def disable_proxy(call: Call, pool: str) -> None:
    call.db.update("pool", pool, repository_proxy_url="", repository_proxy_username="")
    old, call.pool.proxy_password = call.pool.proxy_password, NULL_REF
    if call.db.find("secret", old) is not None:
        call.db.delete("secret", old)


async def get_proxy_password(call: Call, pool: str) -> str:
    """Reference of a secret, or null."""
    call.db.row("pool", pool)
    return call.pool.proxy_password
