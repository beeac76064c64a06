"""What docker-compose.yml promises, read without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from xenkeep.home import SERVICES

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
CONTAINERS = sorted(COMPOSE["services"])
LASTING = [name for name in CONTAINERS if name != "init"]


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def mounts(name: str) -> dict[str, str]:
    """Target to source; what is mounted read-only has ``:ro`` after its source."""
    parts = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":") for volume in service(name)["volumes"]]
    return {target: ":".join([source, *mode]) for source, target, *mode in parts}


def test_every_service_has_a_container() -> None:
    assert {*SERVICES, "nats", "init", "simulator"} == set(CONTAINERS)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_may_do_as_little_as_possible(name: str) -> None:
    container = service(name)
    assert "10001:10001" == container["user"]
    assert container["read_only"] is True
    assert ["ALL"] == container["cap_drop"]
    assert "cap_add" not in container
    assert "privileged" not in container
    assert ["no-new-privileges:true"] == container["security_opt"]
    assert container["tmpfs"][0].startswith("/tmp:")
    assert container["mem_limit"]
    assert container["pids_limit"]


@pytest.mark.parametrize("name", LASTING)
def test_a_container_that_lasts_comes_back_and_its_health_is_known(name: str) -> None:
    assert "unless-stopped" == service(name)["restart"]
    assert "healthcheck" in service(name) or "services.chassis.healthcheck" in DOCKERFILE
    assert not service(name).get("healthcheck", {}).get("disable")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_when_certificates_and_nats_are_there(name: str) -> None:
    wanted = {
        "init": {"condition": "service_completed_successfully"},
        "nats": {"condition": "service_healthy"},
    }
    assert wanted == service(name)["depends_on"]


@pytest.mark.parametrize("name", SERVICES)
def test_services_find_each_other_where_they_listen(name: str) -> None:
    environment = service(name)["environment"]
    for other in SERVICES:
        port = service(other)["environment"]["XENKEEP_LISTEN"].rpartition(":")[2]
        assert f"{other}:{port}" == environment[f"XENKEEP_{other.upper()}"]


@pytest.mark.parametrize("name", [*SERVICES, "nats"])
def test_a_container_holds_its_own_certificate_and_cannot_change_it(name: str) -> None:
    assert f"{name}-tls:ro" == mounts(name)["/etc/xenkeep/tls"]
    assert f"{name}-tls" == mounts("init")[f"/pki/{name}"]


def test_the_mover_reads_credentials_of_buckets_and_cannot_change_them() -> None:
    folder = service("mover")["environment"]["XENKEEP_S3_CREDENTIALS_DIR"]
    assert "s3-credentials:ro" == mounts("mover")[folder]


def test_only_init_sees_the_key_of_the_authority() -> None:
    holders = [name for name in CONTAINERS if any("authority" in source for source in mounts(name).values())]
    assert ["init"] == holders


def test_ports_are_published_on_this_machine_only_unless_told_otherwise() -> None:
    for name in CONTAINERS:
        for port in service(name).get("ports", []):
            assert port.startswith("${XENKEEP_BIND:-127.0.0.1}:")


def test_no_secret_stands_in_the_environment() -> None:
    for name in CONTAINERS:
        for variable in service(name).get("environment", {}):
            assert not re.search("PASSWORD|SECRET|TOKEN|PASSPHRASE", variable)


def test_the_simulated_pool_is_for_the_demo_only_and_has_no_way_out() -> None:
    assert ["demo"] == service("simulator")["profiles"]
    assert all(COMPOSE["networks"][network]["internal"] for network in service("simulator")["networks"])
    assert not any("profiles" in service(name) for name in CONTAINERS if name != "simulator")


def test_every_volume_is_used_and_declared() -> None:
    used = {source.removesuffix(":ro") for name in CONTAINERS for source in mounts(name).values()}
    assert set(COMPOSE["volumes"]) == used


def test_every_choice_is_in_the_example_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    choices = dict(re.findall(r"\$\{(XENKEEP_\w+):-(.*?)\}", text))
    del choices["XENKEEP_VERSION"]  # not a choice: the image that this folder builds
    example = dict(
        re.findall(r"^#(XENKEEP_\w+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    )
    assert choices == example


def test_the_image_is_named_after_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    assert f"xenkeep:${{XENKEEP_VERSION:-{version[1]}}}" == service("init")["image"]


def test_the_image_needs_one_base_and_ends_as_a_user_without_rights() -> None:
    assert {"python:3.11-slim-bookworm"} == set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert ["10001:10001"] == re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes -r requirements.lock" in DOCKERFILE


def test_what_builds_the_wheel_is_pinned_as_in_development() -> None:
    def pins(file: str) -> dict[str, list[str]]:
        text = (ROOT / file).read_text("utf-8")
        found = re.findall(r"^(\S+==\S+) \\\n((?: +--hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
        return {pin: sorted(re.findall(r"sha256:\w+", hashes)) for pin, hashes in found}

    build, development = pins("deploy/build.lock"), pins("requirements-dev.lock")
    assert any(pin.startswith("hatchling==") for pin in build)
    assert build == {pin: development.get(pin) for pin in build}
