"""Ways into a host: ports, certificates, supporters, credentials of HTTP requests."""

import asyncio
import base64
import hashlib
import os
import socket
import ssl
import tarfile
import xmlrpc.client
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, PASSWORD, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web
from tests.integration.simulator.test_vm_life import disk_of, only_vm


@pytest.fixture
async def two_hosts(tmp_path: Path) -> Any:
    """``local`` is on the second host's own storage; both hosts have a port without TLS."""
    disk = DiskDescription(size_bytes=4 * MIB, storage="Local")
    described = describe(
        tmp_path / "pool",
        2,
        storage=[
            StorageDescription(name="Shared"),
            StorageDescription(name="Local", type="ext", host="host-2"),
        ],
        vms=[VmDescription(name="local", disks=[disk])],
    )
    async with running(described) as simulation:
        yield simulation


async def test_the_port_without_tls_speaks_the_same(simulation: Simulation) -> None:
    port = simulation.pool.description.http_port
    address = f"http://127.0.0.11:{port}"

    def log_in_and_ask() -> Any:
        with xmlrpc.client.ServerProxy(address) as server:
            answer: Any = server.session.login_with_password("root", PASSWORD)
            return server.pool.get_all(answer["Value"])

    answer = await asyncio.to_thread(log_in_and_ask)
    assert answer["Status"] == "Success"
    assert answer["Value"] == [simulation.pool.db.only("pool").ref]


async def test_the_port_without_tls_closes_to_newcomers_when_the_pool_insists_on_tls(
    two_hosts: Simulation,
) -> None:
    sdk = await Sdk(two_hosts).log_in()
    (pool,) = await sdk.call("pool.get_all")
    port = two_hosts.pool.description.http_port
    hosts = ("127.0.0.11", "127.0.0.12")
    reader, writer = await asyncio.open_connection(hosts[0], port)
    await sdk.call("pool.set_https_only", pool, True)
    assert await sdk.call("host.get_all_records_where", 'field "https_only"="false"') == {}
    for address in hosts:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address, port)
    writer.write(b"OPTIONS / HTTP/1.1\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await two_hosts.pool.failures.kill(two_hosts.pool.host_named("host-2"))
    await two_hosts.pool.failures.revive(two_hosts.pool.host_named("host-2"))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(hosts[1], port)
    await sdk.call("pool.set_https_only", pool, False)
    for address in hosts:
        _, writer = await asyncio.open_connection(address, port)
        writer.close()
    sdk.close()


@pytest.mark.parametrize(("version", "with_address"), [("8.2", False), ("22.5.0", False), ("22.6.0", True)])
async def test_certificates_are_of_addresses_from_22_6_on(
    tmp_path: Path, version: str, with_address: bool
) -> None:
    async with running(describe(tmp_path / "pool", version=version, vms=[])) as simulation:
        certificate = x509.load_pem_x509_certificate(simulation.pool.coordinator.certificate.pem.encode())
        (common,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
        told = (common.value, names.get_values_for_type(x509.DNSName), addresses)
        assert told == (
            ("127.0.0.11", ["host-1"], ["127.0.0.11"]) if with_address else ("host-1", ["host-1"], [])
        )


async def test_every_host_has_a_certificate_of_its_own_signed_by_itself(two_hosts: Simulation) -> None:
    sdk = await Sdk(two_hosts).log_in()
    port = two_hosts.pool.description.https_port
    shown = []
    for host, record in (await sdk.call("host.get_all_records")).items():
        pem = await asyncio.to_thread(ssl.get_server_certificate, (record["address"], port))
        assert pem.split() == (await sdk.call("host.get_server_certificate", host)).split()
        shown.append(pem)
        context = ssl.create_default_context(cadata=pem)
        context.check_hostname = False
        _, writer = await asyncio.open_connection(record["address"], port, ssl=context)
        writer.close()
    assert len(set(shown)) == 2
    sdk.close()


async def test_a_supporter_sends_every_call_of_a_session_to_the_coordinator(two_hosts: Simulation) -> None:
    sdk = await Sdk(two_hosts).log_in()
    address = f"https://127.0.0.12:{two_hosts.pool.description.https_port}"

    def asked_of_the_supporter(session: str) -> Any:
        with xmlrpc.client.ServerProxy(address, context=ssl._create_unverified_context()) as server:
            return server.VM.get_all(session)

    answer = await asyncio.to_thread(asked_of_the_supporter, sdk.session.handle)
    assert answer == {"Status": "Failure", "ErrorDescription": ["HOST_IS_SLAVE", "127.0.0.11"]}
    answer = await asyncio.to_thread(asked_of_the_supporter, "OpaqueRef:unknown")
    assert answer == {"Status": "Failure", "ErrorDescription": ["SESSION_INVALID", "OpaqueRef:unknown"]}
    sdk.close()


@pytest.mark.parametrize("asked", [True, False])
async def test_a_supporter_vouches_for_the_coordinators_certificate_when_it_is_asked_to(
    two_hosts: Simulation, asked: bool
) -> None:
    """xapi: ocaml/xapi/api_server.ml ``create_thumbprint_header``."""
    address = f"https://127.0.0.12:{two_hosts.pool.description.https_port}/jsonrpc"
    question = {"jsonrpc": "2.0", "method": "session.login_with_password", "params": ["a", "b"], "id": 1}
    headers = {"x-xenapi-request-host-certificate-thumbprint": "sha-256"} if asked else {}
    async with httpx.AsyncClient(verify=ssl._create_unverified_context()) as client:
        answer = await client.post(address, json=question, headers=headers)
    assert answer.json()["error"] == {"code": 1, "message": "HOST_IS_SLAVE", "data": ["127.0.0.11"]}
    shown = answer.headers.get("x-xenapi-response-host-certificate-thumbprint")
    assert shown == (two_hosts.pool.coordinator.certificate.fingerprint if asked else None)


@pytest.mark.parametrize("how", ["query", "cookie", "basic"])
async def test_a_handler_takes_credentials_in_three_ways(simulation: Simulation, sdk: Sdk, how: str) -> None:
    web = Web(simulation, sdk)
    disk = await disk_of(sdk, await only_vm(sdk))
    query, headers = {"vdi": disk}, {}
    if how == "query":
        query["session_id"] = sdk.session.handle
    elif how == "cookie":
        headers["Cookie"] = f"session_id={sdk.session.handle}"
    else:
        headers["Authorization"] = "Basic " + base64.b64encode(f"root:{PASSWORD}".encode()).decode()
    response = await web.client.get(f"{web.address}/export_raw_vdi", params=query, headers=headers)
    assert (response.status_code, len(response.content)) == (200, 8 * MIB)
    assert response.headers["task-id"].startswith("OpaqueRef:")
    nobody = await web.client.get(f"{web.address}/export_raw_vdi", params={"vdi": disk})
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (
        401,
        'Basic realm="get_export_raw_vdi"',
    )
    await web.client.aclose()


async def test_an_archive_for_local_storage_is_sent_to_the_host_that_has_it(two_hosts: Simulation) -> None:
    sdk = await Sdk(two_hosts).log_in()
    web = Web(two_hosts, sdk)
    (vm,) = await sdk.call("VM.get_by_name_label", "local")
    content = os.urandom(4 * MIB)
    disk = await disk_of(sdk, vm)
    web.client.follow_redirects = True
    (sr,) = await sdk.call("SR.get_by_name_label", "Local")
    there = f"https://127.0.0.12:{two_hosts.pool.description.https_port}"
    query = {"session_id": sdk.session.handle, "sr_id": sr}
    probe = await web.client.put(f"{web.address}/import/", params=query, follow_redirects=False)
    assert (probe.status_code, probe.headers["location"].partition("/import")[0]) == (302, there)
    web.address = there
    await web.send("PUT", "/import_raw_vdi", {"vdi": disk}, content)
    web.address = f"https://127.0.0.11:{two_hosts.pool.description.https_port}"
    archive, task = await web.send("GET", "/export", {"ref": vm})
    assert (archive.status_code, task["status"]) == (200, "success")
    web.address = there
    _, task = await web.send("PUT", "/import", {"sr_id": sr}, archive.content)
    assert task["status"] == "success", task["error_info"]
    (twin,) = [ref for ref in await sdk.call("VM.get_by_name_label", "local") if ref != vm]
    assert await sdk.call("VDI.get_SR", await disk_of(sdk, twin)) == sr
    await web.client.aclose()
    sdk.close()


async def test_an_archive_is_not_put_where_isos_are(simulation: Simulation, sdk: Sdk) -> None:
    web = Web(simulation, sdk)
    isos = [r for r, sr in (await sdk.call("SR.get_all_records")).items() if sr["content_type"] == "iso"]
    response, task = await web.send("PUT", "/import", {"sr_id": isos[0]}, bytes(1024))
    assert (response.status_code, task["error_info"]) == (400, ["SR_OPERATION_NOT_SUPPORTED"])
    await web.client.aclose()


async def test_an_archive_needs_a_default_storage_or_a_named_one(simulation: Simulation, sdk: Sdk) -> None:
    web = Web(simulation, sdk)
    (pool,) = await sdk.call("pool.get_all")
    await sdk.call("pool.set_default_SR", pool, "OpaqueRef:NULL")
    response, task = await web.send("PUT", "/import", {}, bytes(1024))
    assert (response.status_code, task["error_info"][0]) == (500, "DEFAULT_SR_NOT_FOUND")
    await web.client.aclose()


async def exported(simulation: Simulation, sdk: Sdk) -> bytes:
    """The only VM, halted, its disk filled at both ends."""
    web = Web(simulation, sdk)
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    content = os.urandom(MIB) + bytes(6 * MIB) + os.urandom(MIB)
    await web.send("PUT", "/import_raw_vdi", {"vdi": await disk_of(sdk, vm)}, content)
    archive, _ = await web.send("GET", "/export", {"ref": vm})
    await web.client.aclose()
    return archive.content


async def test_release_8_0_checks_chunks_by_sha1(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "old", version="8.0")) as simulation:
        sdk = await Sdk(simulation).log_in()
        members = read_tar(await exported(simulation, sdk))
        sdk.close()
    checksums = {name: data for name, data in members.items() if name.endswith(".checksum")}
    assert len(checksums) == 2
    for name, text in checksums.items():
        assert text.decode() == hashlib.sha1(members[name.removesuffix(".checksum")]).hexdigest()
    assert not any(name.endswith(".xxhash") for name in members)


@pytest.mark.parametrize("right", [True, False])
async def test_an_archive_with_sha1_checksums_is_taken_if_they_hold(
    simulation: Simulation, sdk: Sdk, right: bool
) -> None:
    members = read_tar(await exported(simulation, sdk))
    old = BytesIO()
    with tarfile.open(fileobj=old, mode="w") as archive:
        for name, data in members.items():
            if name.endswith(".xxhash"):
                chunk = members[name.removesuffix(".xxhash")]
                digest = hashlib.sha1(chunk if right else b"another" + chunk).hexdigest()
                name, data = name.replace(".xxhash", ".checksum"), digest.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    web = Web(simulation, sdk)
    _, task = await web.send("PUT", "/import", {}, old.getvalue())
    assert (task["status"] == "success") == right, task["error_info"]
    assert right or "checksum failed" in task["error_info"][1]
    await web.client.aclose()


@pytest.mark.parametrize(("version", "taken"), [("23.1.0", False), ("24.19.0", True), ("26.17.0", True)])
async def test_an_archive_of_a_later_toolstack_is_refused(tmp_path: Path, version: str, taken: bool) -> None:
    async with running(describe(tmp_path / "later", version="24.19.0")) as simulation:
        sdk = await Sdk(simulation).log_in()
        archive = await exported(simulation, sdk)
        sdk.close()
    async with running(describe(tmp_path / "here", version=version, vms=[])) as simulation:
        sdk = await Sdk(simulation).log_in()
        web = Web(simulation, sdk)
        for path in ("/import", "/import_metadata"):
            _, task = await web.send("PUT", path, {"force": "true"}, archive)
            wrong = [] if taken else ["IMPORT_INCOMPATIBLE_VERSION"]
            assert task["error_info"] == wrong, path
        await web.client.aclose()
        sdk.close()


async def test_a_priority_of_an_old_release_is_restart_now(simulation: Simulation, sdk: Sdk) -> None:
    web = Web(simulation, sdk)
    vm = await only_vm(sdk)
    await sdk.call("VM.set_ha_restart_priority", vm, "best-effort")
    metadata, _ = await web.send("GET", "/export_metadata", {"ref": vm})
    old = metadata.content.replace(b"<value>best-effort</value>", b"<value>3</value>          ")
    assert old != metadata.content
    _, task = await web.send("PUT", "/import_metadata", {}, old)
    (twin,) = [ref for ref in await sdk.call("VM.get_by_name_label", "web") if ref != vm]
    assert (task["status"], await sdk.call("VM.get_ha_restart_priority", twin)) == ("success", "restart")
    await web.client.aclose()


@pytest.mark.parametrize("path", ["/import", "/import_metadata"])
async def test_what_was_blocked_is_not_after_an_import(simulation: Simulation, sdk: Sdk, path: str) -> None:
    """As recorded: whoever wants it blocked says so again."""
    web = Web(simulation, sdk)
    vm = await only_vm(sdk)
    await sdk.call("VM.set_blocked_operations", vm, {"pool_migrate": "x", "destroy": "mine"})
    _, task = await web.send("PUT", path, {}, await exported(simulation, sdk))
    (twin,) = [ref for ref in await sdk.call("VM.get_by_name_label", "web") if ref != vm]
    assert (task["status"], await sdk.call("VM.get_blocked_operations", twin)) == ("success", {})
    assert "destroy" in await sdk.call("VM.get_allowed_operations", twin)
    await web.client.aclose()


def read_tar(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(archive)) as members:
        files = {member.name: members.extractfile(member) for member in members}
        return {name: file.read() for name, file in files.items() if file is not None}


@pytest.mark.parametrize(("version", "heeded"), [("24.12.0", False), ("24.13.0", True)])
async def test_metadata_leaves_devices_out_on_request(tmp_path: Path, version: str, heeded: bool) -> None:
    async with running(describe(tmp_path / "pool", version=version)) as simulation:
        sdk = await Sdk(simulation).log_in()
        web = Web(simulation, sdk)
        query = {"ref": await only_vm(sdk), "excluded_device_types": "vif,vbd"}
        response, _ = await web.send("GET", "/export_metadata", query)
        text = read_tar(response.content)["ova.xml"].decode()
        present = {cls for cls in ("VM", "VBD", "VIF") if f"<value>{cls}</value>" in text}
        assert present == ({"VM"} if heeded else {"VM", "VBD", "VIF"})
        await web.client.aclose()
        sdk.close()


async def test_no_door_shows_what_a_purged_snapshot_held(simulation: Simulation, sdk: Sdk) -> None:
    """Not HTTP, not NBD, not a VM."""
    vm = await only_vm(sdk)
    live = await disk_of(sdk, vm)
    await sdk.run("VDI.enable_cbt", live)
    snapshot = (await sdk.run("VM.snapshot", vm, "s"))[7:-8]
    disk = await disk_of(sdk, snapshot)
    (info, *_) = await sdk.call("VDI.get_nbd_info", disk)
    await sdk.call("VM.destroy", snapshot)
    await sdk.run("VDI.data_destroy", disk)
    assert (await sdk.refused("VDI.get_nbd_info", disk))[0] == "VDI_INCOMPATIBLE_TYPE"
    context = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection(info["address"], int(info["port"]))
    assert await reader.readexactly(18) == b"NBDMAGICIHAVEOPT\0\1"
    writer.write((1).to_bytes(4) + b"IHAVEOPT" + (5).to_bytes(4) + bytes(4))
    assert (await reader.readexactly(20))[-8:] == (1).to_bytes(4) + bytes(4)
    await writer.start_tls(context)
    name = info["exportname"].encode()
    writer.write(b"IHAVEOPT" + (1).to_bytes(4) + len(name).to_bytes(4) + name)
    assert await reader.read() == b""
    writer.close()
    web = Web(simulation, sdk)
    response, task = await web.send("GET", "/export_raw_vdi", {"vdi": disk})
    assert (len(response.content) < MIB, task["error_info"][0]) == (True, "VDI_INCOMPATIBLE_TYPE")
    await web.client.aclose()
    changed = await sdk.run("VDI.list_changed_blocks", disk, (await snapshot_disk(sdk, vm)))
    assert changed
    for refused in ("VDI.snapshot", "VDI.clone"):
        assert (await sdk.refused(refused, disk, {}))[:3] == ["VDI_INCOMPATIBLE_TYPE", disk, "CBT metadata"]


async def snapshot_disk(sdk: Sdk, vm: str) -> str:
    return await disk_of(sdk, (await sdk.run("VM.snapshot", vm, "later"))[7:-8])


def shown(simulation: Simulation, name: str) -> x509.Certificate:
    """The certificate for clients that ask for ``name``."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.11", simulation.pool.description.https_port)
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


async def test_hosts_show_each_other_another_certificate(simulation: Simulation, sdk: Sdk) -> None:
    (host,) = await sdk.call("host.get_all_records")
    public, internal = [
        await asyncio.to_thread(shown, simulation, name) for name in ("xen.example", "xapi:pool")
    ]
    (common,) = internal.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common.value == await sdk.call("host.get_uuid", host)
    records = (await sdk.call("Certificate.get_all_records")).values()
    fingerprints = {record["type"]: record["fingerprint"] for record in records}
    seen = {"host": public, "host_internal": internal}
    assert fingerprints == {
        type_: certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        for type_, certificate in seen.items()
    }
    await simulation.pool.replace_certificate(simulation.pool.hosts[host])
    assert await asyncio.to_thread(shown, simulation, "xapi:pool") == internal
    assert await asyncio.to_thread(shown, simulation, "xen.example") != public


async def test_hosts_of_old_releases_have_one_certificate(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="8.2", vms=[])) as simulation:
        public, asked = [
            await asyncio.to_thread(shown, simulation, name) for name in ("xen.example", "xapi:pool")
        ]
        assert asked == public
        assert len(simulation.pool.db.rows("Certificate")) == 1


async def test_a_host_serves_so_many_connections_at_once_and_others_wait(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", http_connections=2, vms=[])) as simulation:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        address, ports = "127.0.0.11", simulation.pool.description

        async def ask(
            port: int, tls: ssl.SSLContext | None
        ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(address, port, ssl=tls)
            writer.write(b"OPTIONS / HTTP/1.1\r\n\r\n")
            return reader, writer

        first = await ask(ports.https_port, context)
        second = await ask(ports.http_port or 0, None)
        for reader, _ in (first, second):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        third = await ask(ports.https_port, context)
        answer = asyncio.create_task(third[0].readline())
        fourth = await ask(ports.http_port or 0, None)
        fourth[1].close()
        assert not answer.done()
        first[1].close()
        assert (await answer).startswith(b"HTTP/1.1 200")
        for _, writer in (second, third):
            writer.close()
