import grpc
import pytest
from xenkeep.hypervisor.v1 import pool_pb2, vm_pb2

from tests.support.hypervisor import PATIENCE_S, Lab
from tests.support.pool import PASSWORD


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


async def test_a_pool_shows_its_hosts_their_certificates_and_its_vms(lab: Lab) -> None:
    pool = await lab.pools.GetPool(pool_pb2.GetPoolRequest(name="Lab"), timeout=PATIENCE_S)
    assert pool_pb2.Pool.STATE_ONLINE == pool.state
    assert ["host0", "host1", "host2"] == [host.display_name for host in pool.hosts]
    assert 3 == len({host.certificate_sha256 for host in pool.hosts} - {""})
    assert 2 == pool.vm_count
    assert [] == list(pool.missing_rights)
    vms = await lab.vms.ListVms(vm_pb2.ListVmsRequest(parent="Lab", page_size=1), timeout=PATIENCE_S)
    assert ["db"] == [vm.display_name for vm in vms.vms]
    request = vm_pb2.ListVmsRequest(page_size=1, page_token=vms.next_page_token)
    rest = await lab.vms.ListVms(request, timeout=PATIENCE_S)
    assert (["web"], "") == ([vm.display_name for vm in rest.vms], rest.next_page_token)


async def test_adding_by_a_supporter_leads_to_the_coordinator(lab: Lab) -> None:
    assert f"pools/{lab.pool_id}" == (await lab.add_pool(host=2)).name


async def test_a_wrong_password_is_told_with_a_way_out_and_is_nowhere_in_the_log(lab: Lab) -> None:
    error = await _refused(lab, password="not the password")
    assert grpc.StatusCode.UNAUTHENTICATED == error.code()
    log = lab.process.log.read_text()
    assert "not the password" not in log + str(error)
    assert PASSWORD not in log
    assert "OpaqueRef:" not in log


async def test_another_certificate_than_the_agreed_one_gets_no_password(lab: Lab) -> None:
    error = await _refused(lab, certificate_sha256="00" * 32)
    assert grpc.StatusCode.FAILED_PRECONDITION == error.code()
    assert "presents the certificate" in (error.details() or "")


async def test_no_certificate_is_not_agreement(lab: Lab) -> None:
    assert grpc.StatusCode.INVALID_ARGUMENT == (await _refused(lab, certificate_sha256="")).code()


async def test_nobody_but_the_allowed_callers_gets_in(lab: Lab) -> None:
    async with lab.process.channel("notifier") as way:
        from xenkeep.hypervisor.v1 import pool_pb2_grpc

        stub = pool_pb2_grpc.PoolServiceStub(way)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListPools(pool_pb2.ListPoolsRequest(), timeout=PATIENCE_S)
    assert grpc.StatusCode.PERMISSION_DENIED == refused.value.code()


async def test_a_removed_pool_is_forgotten(lab: Lab) -> None:
    request = pool_pb2.DeletePoolRequest(name=f"pools/{lab.pool_id}")
    await lab.pools.DeletePool(request, timeout=PATIENCE_S)
    answer = await lab.pools.ListPools(pool_pb2.ListPoolsRequest(), timeout=PATIENCE_S)
    assert [] == list(answer.pools)
    await lab.process.stop()
    await lab.restarted()
    answer = await lab.pools.ListPools(pool_pb2.ListPoolsRequest(), timeout=PATIENCE_S, wait_for_ready=True)
    assert [] == list(answer.pools)
