"""What is in a virtual TPM comes back: over the original always, in a new VM on request."""

import pytest
from xenkeep.hypervisor.v1 import backup_source_pb2

from services.hypervisor.adapters.xapi_archive import Archive
from services.hypervisor.domain.configuration import unpack
from tests.integration.hypervisor.test_what_comes_back import Placement, restored
from tests.support.hypervisor import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _contents(source: backup_source_pb2.BackupSource) -> list[str]:
    """What the pool says is in them."""
    archive = Archive(unpack(source.vm_configuration).archive)
    return [tpm.text("vTPM'_content") for tpm in archive.of("VTPM")]


async def test_what_is_in_a_virtual_tpm_comes_back_over_the_original_and_on_request(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    vm_id = vm.name.rpartition("/")[2]
    ref = await shared_lab.session_call("VM.get_by_uuid", vm_id)
    [tpm] = [await shared_lab.session_call("VTPM.create", ref, True)]
    await shared_lab.session_call("VM.start", ref, False, False)
    await shared_lab.session_call("VM.hard_shutdown", ref)
    source = await shared_lab.backed_up(vm)
    [content] = _contents(source)
    assert content
    for placement in ({"mode": Placement.MODE_ORIGINAL}, {"vm_display_name": "keys", "key_material": True}):
        if "mode" in placement:
            await shared_lab.session_call("VTPM.destroy", tpm)
        done = await restored(shared_lab, source, **placement)
        assert [] == list(done.notices)
        made = await shared_lab.vm_with(done.vm, lambda now: bool(now.disks))
        assert [content] == _contents(await shared_lab.backed_up(made))
