"""Pools and certificates on the wire."""

import hashlib
import ssl

from xenkeep.common.v1.capture_pb2 import Notice
from xenkeep.hypervisor.v1 import pool_pb2

from services.hypervisor.domain.names import pool_name
from services.hypervisor.domain.pool import Certificate, Pool


def pool_to_proto(pool: Pool, vm_count: int) -> pool_pb2.Pool:
    pins = {member.host_id: _sha256(member.certificate_pem) for member in pool.members}
    message = pool_pb2.Pool(
        name=pool_name(pool.pool_id),
        display_name=pool.display_name,
        state=pool_pb2.Pool.State.Value(f"STATE_{pool.state.value}"),
        state_message=pool.state_message,
        hosts=[
            pool_pb2.Host(
                host_id=host.host_id,
                display_name=host.display_name,
                address=host.address,
                live=host.live,
                certificate_sha256=pins.get(host.host_id, ""),
            )
            for host in pool.hosts
        ],
        coordinator=pool.coordinator,
        username=pool.username,
        product=pool.product,
        vm_count=vm_count,
        missing_rights=pool.missing_rights,
        notices=[Notice(code="COORDINATOR_CONTESTED", message=pool.dispute)] if pool.dispute else [],
    )
    message.create_time.FromDatetime(pool.created)
    return message


def certificate_to_proto(certificate: Certificate) -> pool_pb2.Certificate:
    message = pool_pb2.Certificate(sha256=certificate.sha256, subject=certificate.subject)
    message.not_before_time.FromDatetime(certificate.not_before)
    message.not_after_time.FromDatetime(certificate.not_after)
    return message


def _sha256(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()
