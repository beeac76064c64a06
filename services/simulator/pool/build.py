"""A new pool from its description: the objects that an installation leaves behind, then storage and VMs."""

import asyncio
from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.model.releases import toolstack
from services.simulator.model.schema import Model
from services.simulator.pool import consoles, high_availability, machine_facts
from services.simulator.pool.build_gpus import add_gpus
from services.simulator.pool.build_storage import add_storage
from services.simulator.pool.build_vms import add_templates, add_vms
from services.simulator.pool.certificates import HostCertificate
from services.simulator.pool.description import HostDescription, PoolDescription
from services.simulator.pool.facts import (
    CPU_FEATURES,
    EDITIONS,
    HOST_OPERATIONS,
    RESTRICTIONS,
    ROLES,
    pool_operations,
    software_version,
)
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.wire.datetimes import DateTime

GIB = 1024**3
DOM0_MEMORY_BYTES = 4 * GIB


async def build_pool(model: Model, description: PoolDescription, clock: Clock, ids: IdSource) -> Pool:
    """A pool whose hosts have no power yet. Raises ``FileExistsError`` when the data directory is in use."""
    data_dir = description.data_dir
    if data_dir.exists() and any(data_dir.iterdir()):
        raise FileExistsError(
            f"{data_dir} is not empty; a simulated pool starts anew, so remove it or choose another"
        )
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    pool = Pool(model, description, clock, ids)
    pool_ref = pool.create(
        "pool",
        name_label=description.name,
        other_config={"memory-ratio-hvm": "0.25", "memory-ratio-pv": "0.25"},
        restrictions={**RESTRICTIONS, **description.restrictions},
        allowed_operations=pool_operations(model.release),
        ha_cluster_stack="xhad",
        coordinator_bias=True,
        cpu_info=_cpu(description),
    )
    pool.create("user", short_name="root", fullname="The local superuser")
    for role, meaning in ROLES:
        pool.create("role", name_label=role, name_description=meaning)
    networks = [
        pool.create(
            "network", name_label=network.name, bridge=f"xenbr{index}", MTU=1500, purpose=network.purpose
        )
        for index, network in enumerate(description.networks)
    ]
    certificates = await asyncio.gather(*(_certificate(pool, host) for host in description.hosts))
    for index, host in enumerate(description.hosts):
        add_host(pool, host, certificates[index], networks)
    pool.db.set("pool", pool_ref, "master", next(iter(pool.hosts)))
    await add_storage(pool)
    add_templates(pool)
    await add_vms(pool, description.vms)
    if description.ha_enabled:
        pool.db.set("pool", pool_ref, "ha_host_failures_to_tolerate", min(1, len(pool.hosts) - 1))
        await high_availability.enable(pool, [], {})
    return pool


def _cpu(description: PoolDescription) -> dict[str, str]:
    return {"vendor": machine_facts.VENDOR, **dict.fromkeys(CPU_FEATURES, description.cpu_features)}


async def _certificate(pool: Pool, facts: HostDescription) -> HostCertificate:
    path = pool.data_dir / f"host-{facts.name}.pem"
    return await pool.make_certificate(path, facts.name, facts.address)


def add_host(
    pool: Pool, facts: HostDescription, certificate: HostCertificate, networks: Sequence[str], uuid: str = ""
) -> str:
    """The records of a host without power; its reference. It has an interface on each of ``networks``."""
    uuid = uuid or pool.ids.new()
    number = _free_number(pool)
    major, minor = 2, toolstack(pool.description.version).api_minor
    metrics = pool.create("host_metrics", memory_total=facts.memory_bytes, live=True, last_updated=pool.now())
    ref = pool.create(
        "host",
        uuid=uuid,
        name_label=facts.name,
        name_description="Default install",
        hostname=facts.name,
        address=facts.address,
        metrics=metrics,
        enabled=True,
        memory_overhead=1342177280,
        allowed_operations=list(HOST_OPERATIONS),
        API_version_major=major,
        API_version_minor=minor,
        API_version_vendor="XenSource",
        software_version=software_version(toolstack(pool.description.version), pool.model.schema),
        capabilities=["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"],
        sched_policy="credit",
        supported_bootloaders=["pygrub", "eliloader"],
        cpu_info={**machine_facts.processor(facts.cpus), **_cpu(pool.description)},
        bios_strings=machine_facts.bios_strings(uuid),
        virtual_hardware_platform_versions=machine_facts.HARDWARE_PLATFORMS,
        ssl_legacy=False,
        iscsi_iqn=f"iqn.2026-11.com.example:{uuid[:8]}",
        editions=list(EDITIONS),
        license_params={**RESTRICTIONS, "expiry": "20991231T23:59:59Z", "sku_type": "premium"},
        edition="premium",
        chipset_info={"iommu": str(facts.iommu).lower()},
        other_config={"agent_start_time": _unix(pool), "boot_time": _unix(pool)},
    )
    internal = pool.make_internal_certificate(certificate, uuid)
    pool.hosts[ref] = Host(ref, uuid, facts, certificate, internal)
    for cpu in range(facts.cpus):
        pool.create("host_cpu", host=ref, **machine_facts.one_cpu(cpu))
    for type_, shown in (("host_internal", internal), ("host", certificate)):
        if shown is not None and "Certificate" in pool.model.classes:
            _add_certificate(pool, ref, type_, shown)
    for place, description in enumerate(facts.usb_devices, start=1):
        _add_usb(pool, ref, place, description)
    for device, network in enumerate(networks):
        _add_pif(pool, ref, network, facts.address, device, number)
    add_gpus(pool, ref, facts.gpus)
    _add_control_domain(pool, ref, facts)
    count_processors(pool)
    return ref


def count_processors(pool: Pool) -> None:
    """After a host came or went."""
    row = pool.db.only("pool")
    counts = machine_facts.of_all([host["cpu_info"] for host in pool.db.rows("host")])
    pool.db.set("pool", row.ref, "cpu_info", {**row["cpu_info"], **counts})


def _add_certificate(pool: Pool, host: str, type_: str, shown: HostCertificate) -> None:
    pool.create(
        "Certificate",
        type=type_,
        host=host,
        fingerprint=shown.fingerprint,
        not_before=DateTime.of(shown.not_before),
        not_after=DateTime.of(shown.not_after),
    )


def _free_number(pool: Pool) -> int:
    """A number that no host's MAC addresses carry."""
    taken = {int(pif["MAC"].split(":")[4], 16) for pif in pool.db.rows("PIF") if pif["physical"]}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _add_usb(pool: Pool, host: str, place: int, description: str) -> None:
    """A device, and a group of its own, as xapi makes them (xapi: ocaml/xapi/xapi_usb_group.ml)."""
    label = f"Group of USB devices: {description}"
    pool.create(
        "PUSB",
        host=host,
        USB_group=pool.create("USB_group", name_label=label),
        path=f"1-{place}",
        vendor_id="1d6b",
        vendor_desc="Simulated",
        product_id=f"{place:04x}",
        product_desc=description,
        serial=str(place),
        version="2.00",
        description=f"Simulated_{description}_{place}",
        speed=480.0,
    )


def _unix(pool: Pool) -> str:
    return f"{int(pool.clock.now().timestamp())}."


def _add_pif(pool: Pool, host: str, network: str, address: str, number: int, host_number: int) -> None:
    metrics = pool.create("PIF_metrics", carrier=True, speed=10000, duplex=True, last_updated=pool.now())
    pool.create(
        "PIF",
        device=f"eth{number}",
        network=network,
        host=host,
        MAC=f"52:54:00:77:{host_number:02x}:{number:02x}",
        MTU=1500,
        VLAN=-1,
        metrics=metrics,
        physical=True,
        currently_attached=True,
        ip_configuration_mode="Static",
        IP=address,
        netmask="255.0.0.0",
        management=number == 0,
        primary_address_type="IPv4",
        ipv6_configuration_mode="None",
        managed=True,
        properties={"gro": "on"},
        igmp_snooping_status="disabled",
    )


def _add_control_domain(pool: Pool, host: str, facts: HostDescription) -> None:
    metrics = pool.create(
        "VM_metrics", memory_actual=DOM0_MEMORY_BYTES, VCPUs_number=2, current_domain_type="pv"
    )
    memory = dict.fromkeys(
        (
            "memory_target",
            "memory_static_max",
            "memory_static_min",
            "memory_dynamic_max",
            "memory_dynamic_min",
        ),
        DOM0_MEMORY_BYTES,
    )
    vm = pool.create(
        "VM",
        name_label=f"Control domain on host: {facts.name}",
        name_description="The domain which manages physical devices and manages other domains",
        power_state="Running",
        is_control_domain=True,
        resident_on=host,
        affinity=host,
        domid=0,
        domarch="x64",
        metrics=metrics,
        VCPUs_max=2,
        VCPUs_at_startup=2,
        user_version=1,
        actions_after_shutdown="destroy",
        actions_after_reboot="destroy",
        actions_after_crash="destroy",
        domain_type="pv",
        other_config={"is_system_domain": "true"},
        allowed_operations=["changing_dynamic_range", "changing_static_range"],
        **memory,
    )
    consoles.add_to_control_domain(pool, vm, host)
    pool.db.set("host", host, "control_domain", vm)
