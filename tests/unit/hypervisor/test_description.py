import json
from typing import Any

from services.hypervisor.adapters.xapi_description import LEFT_OUT, describe
from services.hypervisor.adapters.xapi_rpc import XapiFailure

NULL = "OpaqueRef:NULL"


class Answers:
    """A session of which each class has the records it was given; a class without any does not exist."""

    def __init__(self, **records: dict[str, dict[str, Any]]) -> None:
        self._records = records

    async def call(self, method: str, *_: object) -> dict[str, dict[str, Any]]:
        kind, verb = method.split(".")
        if verb == "get_all_records_where":
            return self._records.get("template", {})
        if kind not in self._records:
            raise XapiFailure("MESSAGE_METHOD_UNKNOWN", [method])
        return self._records[kind]


async def _described(**records: dict[str, dict[str, Any]]) -> Any:
    return json.loads(await describe(Answers(**records)))  # type: ignore[arg-type]


async def test_passwords_are_left_out_and_references_are_uuids() -> None:
    sr = {"uuid": "sr-uuid", "name_label": "iscsi", "other_config": {}, "sm_config": {"LUNid": "7"}}
    secret = {"target": "192.0.2.1", "chapuser": "joe", "chappassword": "hunter2", "cifspassword_secret": "x"}
    pbd = {"uuid": "pbd-uuid", "SR": "OpaqueRef:sr", "host": NULL, "device_config": secret}
    told = await _described(SR={"OpaqueRef:sr": sr}, PBD={"OpaqueRef:pbd": pbd})
    [shown] = told["PBD"]
    assert ("sr-uuid", "") == (shown["SR"], shown["host"])
    assert {"target": "192.0.2.1"} == {k: v for k, v in shown["device_config"].items() if v != LEFT_OUT}
    assert "hunter2" not in json.dumps(told)


async def test_classes_a_release_does_not_have_are_empty_and_own_templates_are_named() -> None:
    made = {"uuid": "t1", "name_label": "golden", "is_default_template": False, "other_config": {}}
    shipped = made | {"uuid": "t2", "is_default_template": True}
    told = await _described(template={"OpaqueRef:1": made, "OpaqueRef:2": shipped})
    assert [] == told["VMSS"]
    assert ["golden"] == [template["name_label"] for template in told["template"]]
