"""The data model of one xapi release, loaded from the facts in ``datamodel.json``."""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from services.simulator.model.defaults import default_value, empty_value
from services.simulator.model.lifecycle import Presence, Release, presence, release
from services.simulator.model.releases import database_schema, toolstack
from services.simulator.model.types import Type, parse_type

NOT_ON_THE_WIRE = {("pool", "repository_proxy_password")}
"""Fields that records of a real pool leave out although the model publishes them (recorded from xapi
23.1).
"""


ALWAYS_ON_THE_WIRE = {
    ("task", "set_other_config"),
    ("task", "add_to_other_config"),
    ("task", "remove_from_other_config"),
}
"""Messages that old releases answer although the model dates them later (recorded from xapi 23.1)."""


PARAMETERS_SINCE = {
    ("VM.snapshot", "ignore_vdis"): "21.4.0",
    ("host.disable", "auto_enable"): "25.31.0",
    ("host.evacuate", "evacuate_batch_size"): "23.27.0",
    ("host.evacuate", "network"): "1.297.0",
    ("pool.uninstall_ca_certificate", "force"): "24.35.0",
    ("tunnel.create", "protocol"): "1.250.0",
}
"""Parameters younger than their call: with too many an older toolstack answers
``MESSAGE_PARAMETER_COUNT_MISMATCH`` (xapi: ocaml/idl/datamodel_vm.ml, datamodel_host.ml, datamodel_pool.ml).
"""


@dataclass(frozen=True)
class Field:
    """``default`` is the Python value of a row made without this field; ``required`` ones must be sent to
    create.
    """

    name: str
    type: Type
    access: str
    default: Any
    required: bool

    @property
    def constructed(self) -> bool:
        """Whether a constructor takes it."""
        return self.access != "RO/runtime"


@dataclass(frozen=True)
class Parameter:
    name: str
    type: Type
    optional: bool
    default: Any = None


@dataclass(frozen=True)
class Message:
    """``params`` are without the session, which ``needs_session`` says."""

    cls: str
    name: str
    params: tuple[Parameter, ...]
    roles: frozenset[str]
    has_async: bool
    needs_session: bool
    removed: bool

    @property
    def full_name(self) -> str:
        return f"{self.cls}.{self.name}"

    @property
    def required_count(self) -> int:
        return sum(not param.optional for param in self.params)


@dataclass(frozen=True)
class Class:
    name: str
    fields: dict[str, Field]
    messages: dict[str, Message]
    removed: bool


@dataclass(frozen=True)
class Model:
    """``version`` is xapi's, ``schema`` its database's; ``internal`` are the names of calls that exist but
    are for xapi itself.
    """

    version: str
    release: Release
    classes: dict[str, Class]
    enums: dict[str, frozenset[str]]
    internal: frozenset[str]
    message_priorities: dict[str, int]
    schema: tuple[int, int]

    @property
    def has_qcow2(self) -> bool:
        """Whether disks go over HTTP as QCOW2 (xapi: ocaml/xapi/importexport.ml, since 25.27)."""
        return self.release >= (25, 27)

    @property
    def minds_tracking_of_what_stays(self) -> bool:
        """Whether a VM's disk goes nowhere while changes of any other of its disks are tracked (xapi:
        ocaml/xapi/xapi_vm_migrate.ml ``assert_can_migrate``, until xapi-project/xen-api#6405 of April 2025).
        """
        return self.release < (25, 15)

    @property
    def has_xxhash(self) -> bool:
        """Whether exported chunks have XXH64 checksums and not SHA-1 (xapi: ocaml/xapi/stream_vdi.ml, since
        8.1).
        """
        return self.release >= release("quebec")

    @property
    def forgets_metrics(self) -> bool:
        """Whether a VM that becomes a template refers to no metrics any more (recorded from 23.1; earlier, in
        releases with names, the object alone goes).
        """
        return self.release >= (21,)

    @property
    def certifies_addresses(self) -> bool:
        """Whether hosts make certificates of their addresses too (xapi: ocaml/gencert, since 22.6)."""
        return self.release >= (22, 6)

    @property
    def has_internal_certificates(self) -> bool:
        """Whether hosts show each other certificates that clients do not see (since 1.294)."""
        return "Certificate" in self.classes and "type" in self.classes["Certificate"].fields

    @property
    def excludes_devices(self) -> bool:
        """Whether metadata goes without devices on request (xapi: ocaml/xapi/export.ml, since 24.13)."""
        return self.release >= (24, 13)

    def offers(self, call: str) -> bool:
        """Whether a call is there and not merely remembered."""
        return call in self.messages and not self.messages[call].removed

    @cached_property
    def messages(self) -> dict[str, Message]:
        """Every message by its full name."""
        return {
            message.full_name: message for cls in self.classes.values() for message in cls.messages.values()
        }

    @cached_property
    def aliases(self) -> dict[str, str]:
        """``Class_message`` to ``Class.message`` (xapi: ocaml/idl/ocaml_backend/gen_common.ml
        alternative_wire_name).
        """
        return {name.replace(".", "_", 1): name for name in (*self.messages, *self.internal)}


@cache
def load_model(version: str) -> Model:
    """The model as ``version`` publishes it, a product (``8.2``) or xapi's own (``23.1.0``).

    Raises ``ValueError`` for another.
    """
    facts = json.loads(_resource("datamodel.json"))
    order = json.loads(_resource("field_order.json"))
    chosen = toolstack(version)
    at = chosen.release
    classes = {
        name: _class(name, cls, order.get(name, []), at)
        for name, cls in facts["classes"].items()
        if _presence(cls["lifecycle"], at) is not Presence.ABSENT
    }
    return Model(
        version=chosen.xapi,
        release=at,
        classes=classes,
        enums={name: frozenset(values) for name, values in facts["enums"].items()},
        internal=frozenset(call.partition(" ")[0] for call in facts["undocumented_calls"]),
        message_priorities=facts["message_priorities"],
        schema=database_schema(at, _moments_of_change(facts)),
    )


def _moments_of_change(facts: dict[str, Any]) -> set[Release]:
    """Releases in which any class got or lost a field."""
    fields = (field for cls in facts["classes"].values() for field in cls["fields"].values())
    return {release(moment) for field in fields for _, moment in field["since"]["transitions"]}


def _resource(name: str) -> str:
    return resources.files("services.simulator.model").joinpath(name).read_text("utf-8")


def _presence(lifecycle: dict[str, Any], at: Release) -> Presence:
    return presence(lifecycle["transitions"], at)


def _class(name: str, facts: dict[str, Any], order: list[str], at: Release) -> Class:
    known = [field for field in order if field in facts["fields"]]
    fields = {
        field: _field(field, facts["fields"][field])
        for field in (*known, *(field for field in facts["fields"] if field not in known))
        if _presence(facts["fields"][field]["since"], at) is Presence.PRESENT
        and (name, field) not in NOT_ON_THE_WIRE
    }
    messages = {
        message: _message(name, message, call, at)
        for message, call in facts["messages"].items()
        if (name, message) in ALWAYS_ON_THE_WIRE or _presence(call["lifecycle"], at) is not Presence.ABSENT
    }
    if "get_all_records" in messages:
        messages["get_all_records_where"] = _where_message(messages["get_all_records"])
    return Class(name, fields, messages, _presence(facts["lifecycle"], at) is Presence.REMOVED)


def _field(name: str, facts: dict[str, Any]) -> Field:
    type_ = parse_type(facts["type"].replace("<class> ", ""))
    default = default_value(facts["default"], type_) if "default" in facts else empty_value(type_)
    return Field(name, type_, facts["access"], default, required="default" not in facts)


def _message(cls: str, name: str, facts: dict[str, Any], at: Release) -> Message:
    declared = facts["params"]
    needs_session = bool(declared) and declared[0]["name"] == "session_id"
    params = tuple(
        Parameter(
            param["name"],
            type_ := parse_type(param["type"]),
            bool(param.get("optional")),
            default_value(param["default"], type_) if param.get("optional") else None,
        )
        for param in (declared[1:] if needs_session else declared)
        if release(PARAMETERS_SINCE.get((f"{cls}.{name}", param["name"]), "rio")) <= at
    )
    return Message(
        cls,
        name,
        params,
        frozenset(facts["roles"]),
        facts["async"],
        needs_session,
        _presence(facts["lifecycle"], at) is Presence.REMOVED,
    )


def _where_message(all_records: Message) -> Message:
    expression = Parameter("expr", parse_type("string"), optional=False)
    return Message(
        all_records.cls,
        "get_all_records_where",
        (expression,),
        all_records.roles,
        has_async=False,
        needs_session=True,
        removed=all_records.removed,
    )
