import grpc
import pytest
from xenkeep.hypervisor.v1 import pool_pb2, pool_pb2_grpc, vm_pb2

from tests.support.exposure import everything_below, leaves_no_core, shown_by
from tests.support.hypervisor import PATIENCE_S, Lab
from tests.support.pool import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def warm() -> bool:
    """By itself: a test looks at what the kernel shows of it."""
    return False


async def _refused(lab: Lab, **changed: str) -> grpc.aio.AioRpcError:
    request = pool_pb2.ProbePoolRequest(address=lab.pool.address(0))
    probe = await lab.pools.ProbePool(request, timeout=PATIENCE_S)
    asked = {
        "address": lab.pool.address(0),
        "username": "root",
        "password": PASSWORD,
        "certificate_sha256": probe.certificate.sha256,
    }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.pools.CreatePool(pool_pb2.CreatePoolRequest(**(asked | changed)), timeout=PATIENCE_S)
    return refused.value


async def test_a_pool_shows_its_hosts_their_certificates_and_its_vms(shared_lab: Lab) -> None:
    pool = await shared_lab.pools.GetPool(pool_pb2.GetPoolRequest(name="Lab"), timeout=PATIENCE_S)
    assert pool_pb2.Pool.STATE_ONLINE == pool.state
    assert ["host0", "host1", "host2"] == [host.display_name for host in pool.hosts]
    assert 3 == len({host.certificate_sha256 for host in pool.hosts} - {""})
    assert 2 == pool.vm_count
    assert [] == list(pool.missing_rights)


async def test_vms_come_in_pages(shared_lab: Lab) -> None:
    first = await shared_lab.vms.ListVms(vm_pb2.ListVmsRequest(parent="Lab", page_size=1), timeout=PATIENCE_S)
    assert ["db"] == [vm.display_name for vm in first.vms]
    request = vm_pb2.ListVmsRequest(page_size=1, page_token=first.next_page_token)
    rest = await shared_lab.vms.ListVms(request, timeout=PATIENCE_S)
    assert (["web"], "") == ([vm.display_name for vm in rest.vms], rest.next_page_token)


async def test_rights_that_are_missing_are_told_one_by_one(shared_lab: Lab) -> None:
    pool = await shared_lab.add_pool(username="operator")
    told = {right.partition("(")[2].partition(")")[0] for right in pool.missing_rights}
    assert {"vm.snapshot", "vdi.create", "http/put_import_metadata"} < told
    assert not {"vm.start", "vm.clean_shutdown"} & told, "what a VM operator may"
    assert [] == list((await shared_lab.add_pool()).missing_rights)


async def test_a_vm_that_is_not_there_is_named(shared_lab: Lab) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shared_lab.vm("nobody")
    assert (grpc.StatusCode.NOT_FOUND, True) == (
        refused.value.code(),
        "nobody" in (refused.value.details() or ""),
    )


async def test_adding_by_a_supporter_leads_to_the_coordinator(shared_lab: Lab) -> None:
    assert f"pools/{shared_lab.pool_id}" == (await shared_lab.add_pool(host=2)).name


async def test_a_wrong_password_is_told_with_a_way_out_and_is_nowhere_in_the_log(shared_lab: Lab) -> None:
    error = await _refused(shared_lab, password="not the password")
    assert grpc.StatusCode.UNAUTHENTICATED == error.code()
    log = shared_lab.process.log.read_text()
    assert "not the password" not in log + str(error)
    assert PASSWORD not in log
    assert "OpaqueRef:" not in log


async def test_what_the_service_keeps_and_shows_tells_no_password(shared_lab: Lab) -> None:
    """Its database without the sealing key; its arguments, environment and core dumps."""
    process = shared_lab.process
    kept = everything_below(process.data)
    told = [path.read_bytes() for path in kept if path.name != "sealing.key"] + [shown_by(process.pid)]

    assert {"sealing.key", "hypervisor.sqlite"} <= {path.name for path in kept}
    assert [] == [data for data in told if PASSWORD.encode() in data]
    assert leaves_no_core(process.pid)


async def test_another_certificate_than_the_agreed_one_gets_no_password(shared_lab: Lab) -> None:
    error = await _refused(shared_lab, certificate_sha256="00" * 32)
    assert grpc.StatusCode.FAILED_PRECONDITION == error.code()
    assert "presents the certificate" in (error.details() or "")


async def test_no_certificate_is_not_agreement(shared_lab: Lab) -> None:
    assert grpc.StatusCode.INVALID_ARGUMENT == (await _refused(shared_lab, certificate_sha256="")).code()


async def test_nobody_but_the_allowed_callers_gets_in(shared_lab: Lab) -> None:
    async with shared_lab.process.channel("notifier") as way:
        stub = pool_pb2_grpc.PoolServiceStub(way)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListPools(pool_pb2.ListPoolsRequest(), timeout=PATIENCE_S)
    assert grpc.StatusCode.PERMISSION_DENIED == refused.value.code()
