"""Pools, hosts and VMs."""

from xenkeep.hypervisor.v1 import events_pb2 as events

from services.notifier.domain.notification import Severity, Story


def pool_unreachable(event: events.PoolUnreachable) -> Story:
    return Story(
        severity=Severity.ERROR,
        incident=event.pool,
        about=event.pool_display_name or event.pool,
        headline=f"the pool cannot be reached: {event.message}"
        if event.message
        else "the pool cannot be reached",
        advice="Backups of its VMs wait. Check the hosts' power and the management network.",
    )


def pool_reachable(event: events.PoolReachable) -> Story:
    return Story(
        severity=Severity.INFO,
        incident=event.pool,
        about=event.pool_display_name or event.pool,
        headline="the pool answers again",
    )


def coordinator_changed(event: events.CoordinatorChanged) -> Story:
    return Story(
        severity=Severity.WARNING,
        incident=event.pool,
        about=event.pool_display_name or event.pool,
        headline=f"{event.new_host_display_name or event.new_host_id} is the pool's coordinator now",
        advice="Backups go on through it. If nobody wanted that, look after the host that was it before.",
        details=(("Coordinator before", event.old_host_id), ("Coordinator now", event.new_host_id)),
    )


def coordinator_contested(event: events.CoordinatorContested) -> Story:
    return Story(
        severity=Severity.ERROR,
        incident=f"{event.pool}/coordinator",
        about=event.pool_display_name or event.pool,
        headline="more than one host leads the pool",
        advice="Each has a database of its own. On the coordinator that is to stay: xe pool-recover-slaves.",
        details=(("What the hosts say", event.message),),
    )


def coordinator_agreed(event: events.CoordinatorAgreed) -> Story:
    return Story(
        severity=Severity.INFO,
        incident=f"{event.pool}/coordinator",
        about=event.pool_display_name or event.pool,
        headline="one host leads the pool again",
    )


def host_failed(event: events.HostFailed) -> Story:
    return Story(
        severity=Severity.ERROR,
        incident=_host(event.pool, event.host_id),
        about=event.host_display_name or event.host_id,
        headline="the pool believes that this host is dead",
        advice="Backups go on through the others. Check the host; its VMs may have been started elsewhere.",
        details=(("Pool", event.pool_display_name or event.pool),),
    )


def host_recovered(event: events.HostRecovered) -> Story:
    return Story(
        severity=Severity.INFO,
        incident=_host(event.pool, event.host_id),
        about=event.host_display_name or event.host_id,
        headline="the host is back",
        details=(("Pool", event.pool_display_name or event.pool),),
    )


def vm_moved(event: events.VmMoved) -> Story:
    return Story(
        severity=Severity.INFO,
        incident=event.vm,
        about=event.vm_display_name or event.vm,
        headline=f"runs on {event.new_host_display_name or event.new_host_id} now",
        details=(("Host before", event.old_host_id or "not known"), ("Host now", event.new_host_id)),
    )


def change_tracking_lost(event: events.ChangeTrackingLost) -> Story:
    return Story(
        severity=Severity.WARNING,
        incident=event.vm or f"disks/{event.disk_id}",
        about=event.vm_display_name or f"disk {event.disk_id}",
        headline="changed block tracking was lost; the next backup of the disk is a full",
        advice="Expect a longer backup that stores little more. If it happens again, look into the storage.",
        details=(("Disk", event.disk_id), ("The pool says", event.message)),
    )


def _host(pool: str, host_id: str) -> str:
    return f"{pool}/hosts/{host_id}"
