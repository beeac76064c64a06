"""What each container may and may not do, seen from inside and from the engine."""

import json

import pytest
from xenkeep.certificates import ends
from xenkeep.home import IDENTITIES, SERVICES, Home

from tests.compose.stack import Stack

pytestmark = pytest.mark.timeout(1500)
LASTING = [*SERVICES, "nats", "simulator"]


def test_everything_is_healthy_and_init_ended_well(stack: Stack) -> None:
    lines = stack.compose("ps", "--all", "--format", "json").splitlines()
    found = {each["Service"]: each for each in map(json.loads, lines)}
    assert {*LASTING, "init"} == set(found)
    assert {name: "healthy" for name in LASTING} == {name: found[name]["Health"] for name in LASTING}
    assert ("exited", 0) == (found["init"]["State"], found["init"]["ExitCode"])


def test_a_client_outside_finds_all_services_serving(stack: Stack) -> None:
    assert {name: "serving" for name in SERVICES} == {
        name: each["state"] for name, each in stack.xenkeep("status").items()
    }


@pytest.mark.parametrize("service", LASTING)
def test_its_processes_have_no_rights(stack: Stack, service: str) -> None:
    assert "10001:10001" == stack.inside(service, "sh", "-c", "echo $(id -u):$(id -g)")
    status = dict(
        line.split(":\t", 1) for line in stack.inside(service, "cat", "/proc/1/status").splitlines()
    )
    assert "10001" == status["Uid"].split()[1]
    assert {"0000000000000000"} == {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    assert "1" == status["NoNewPrivs"]


@pytest.mark.parametrize("service", LASTING)
def test_its_root_file_system_cannot_be_written(stack: Stack, service: str) -> None:
    tried = "for d in / /etc /usr/bin /opt/xenkeep /home; do touch $d/x 2>/dev/null && echo $d; done"
    assert "" == stack.inside(service, "sh", "-c", f"{tried}; touch /tmp/x")
    refusal = "touch /opt/xenkeep/x 2>&1 || true"
    assert "Read-only file system" in stack.inside(service, "sh", "-c", refusal)


@pytest.mark.parametrize("service", [*SERVICES, "nats"])
def test_its_key_is_its_own_and_nobody_elses_to_read_or_change(stack: Stack, service: str) -> None:
    assert "600 10001" == stack.inside(service, "stat", "-c", "%a %u", "/etc/xenkeep/tls/key.pem")
    refusal = "touch /etc/xenkeep/tls/key.pem 2>&1 || true"
    assert "Read-only file system" in stack.inside(service, "sh", "-c", refusal)
    assert "" == stack.inside(service, "sh", "-c", "find / -name ca.key 2>/dev/null || true")


@pytest.mark.parametrize("service", LASTING)
def test_its_memory_is_limited_and_it_comes_back_by_itself(stack: Stack, service: str) -> None:
    settings = stack.state(service)["HostConfig"]
    assert settings["Memory"] > 0
    assert settings["PidsLimit"] > 0
    assert "unless-stopped" == settings["RestartPolicy"]["Name"]


def test_renewed_certificates_are_shown_and_nothing_is_started_again(stack: Stack) -> None:
    """As docs/deployment.md says to do every month; that it is time is only pretended."""

    def started() -> dict[str, str]:
        return {name: stack.state(name)["State"]["StartedAt"] for name in LASTING}

    before, running = ends(Home.open(stack.home)), started()
    renew = "from pathlib import Path; from services.chassis import pki;" + "".join(
        f"pki.issue(Path('/pki/authority'), '{name}', renew=True);" for name in IDENTITIES
    )
    stack.compose("run", "--rm", "--no-deps", "--no-TTY", "init", "python", "-c", renew)
    stack.compose("up", "--detach", "--wait")
    stack.inside("nats", "sh", "-c", "kill -HUP 1")
    stack.export_home()

    after = ends(Home.open(stack.home))
    while after["nats"] == before["nats"]:  # it reads its configuration again in its own time
        after = ends(Home.open(stack.home))
    assert before["authority"] == after["authority"]
    assert [name for name in IDENTITIES if before[name] == after[name]] == []
    assert running == started()
    assert {"serving"} == {each["state"] for each in stack.xenkeep("status").values()}


def test_ports_are_open_on_this_machine_only(stack: Stack) -> None:
    for service in (*SERVICES, "nats"):
        published = stack.state(service)["NetworkSettings"]["Ports"]
        assert {"127.0.0.1"} == {each["HostIp"] for ports in published.values() for each in ports or []}
