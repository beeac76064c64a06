"""Ansible's modules community.general.xenserver_* as a client: what an administrator's playbook does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Skip, Tally
from tests.integration.simulator.pools import MIB, PASSWORD

REQUIREMENTS = Path(__file__).parent / "ansible" / "requirements.txt"
BUNDLE = "ansible==12.3.0"
COLLECTION = "ansible_collections/community/general/"
INSTALL_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 120.0

POWER_STATES = (
    ("suspended", "suspended"),
    ("powered-on", "poweredon"),
    ("reboot-guest", "poweredon"),
    ("restarted", "poweredon"),
    ("shutdown-guest", "poweredoff"),
    ("powered-on", "poweredon"),
    ("powered-off", "poweredoff"),
)
"""What is asked for, and what the facts say then."""

Module = Callable[..., dict[str, Any]]


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` when Ansible cannot be installed."""
    place = installed(build)
    with running_pool(work_dir) as pool:
        _try(tally, _modules(place, pool, work_dir))


def installed(build: Path) -> Path:
    """A virtual environment with ansible-core, and the collection beside it."""
    place = (build / "ansible").absolute()
    wanted = f"{BUNDLE}\n{REQUIREMENTS.read_text('utf-8')}"
    stamp = place / "installed.txt"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        _install(place)
        stamp.write_text(wanted, "utf-8")
    return place


def _install(place: Path) -> None:
    pip = [str(place / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _must([sys.executable, "-m", "venv", str(place)])
    _must([*pip, "install", "-r", str(REQUIREMENTS)])
    _must([*pip, "download", "--no-deps", "--dest", str(place / "bundle"), BUNDLE])
    (bundle,) = (place / "bundle").glob("ansible-*.whl")
    with zipfile.ZipFile(bundle) as wheel:
        wheel.extractall(
            place / "collections", [name for name in wheel.namelist() if name.startswith(COLLECTION)]
        )
    bundle.unlink()


def _must(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if done.returncode:
        last = [*done.stderr.strip().splitlines(), "no reason given"][-1]
        raise Skip(f"Ansible cannot be installed: {last}")


def _modules(place: Path, pool: RunningPool, work_dir: Path) -> Module:
    """Runs a module once; its result. The password goes by the environment, which the modules read."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(place / "collections"),
        "ANSIBLE_HOME": str(work_dir / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": str(place / "bin" / "python"),
        "XENSERVER_HOST": f"https://{pool.address}",
        "XENSERVER_USER": "root",
        "XENSERVER_PASSWORD": PASSWORD,
        "XENSERVER_VALIDATE_CERTS": "no",
    }

    def run_module(module: str, /, **arguments: Any) -> dict[str, Any]:
        command = [str(place / "bin" / "ansible"), "localhost", "--connection", "local", "--one-line"]
        command += ["--module-name", f"community.general.{module}", "--args", json.dumps(arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
        text = done.stdout.partition("=>")[2].strip()
        assert text, f"{module} says nothing: {done.stdout} {done.stderr}"
        return dict(json.loads(text))

    return run_module


def _try(tally: Tally, module: Module) -> None:
    with tally.check("xenserver_guest creates a VM from a template"):
        made = module(
            "xenserver_guest",
            name="made",
            state="poweredon",
            template="Debian Bookworm 12",
            name_desc="made by Ansible",
            disks=[{"size_mb": 64, "sr": "Shared storage", "name": "root"}],
            hardware={"num_cpus": 2, "memory_mb": 512},
            cdrom={"type": "iso", "iso_name": "guest-tools.iso"},
            networks=[{"name": "Pool-wide network", "mac": "aa:bb:dd:aa:00:14"}],
        )
        assert made.get("changed"), made
        facts = made["instance"]
        assert (facts["state"], facts["name_desc"]) == ("poweredon", "made by Ansible")
        assert [int(disk["size"]) for disk in facts["disks"]] == [64 * MIB]
        assert facts["hardware"]["memory_mb"] == 512
        assert facts["networks"][0]["mac"] == "aa:bb:dd:aa:00:14"
        assert facts["cdrom"] == {"type": "iso", "iso_name": "guest-tools.iso"}
    with tally.check("xenserver_guest_info tells what there is"):
        facts = module("xenserver_guest_info", name="made")["instance"]
        assert (facts["name"], facts["state"]) == ("made", "poweredon")
        assert facts["hardware"]["num_cpus"] == 2
    with tally.check("the same wish again changes nothing"):
        again = module("xenserver_guest", name="made", state="present", hardware={"num_cpus": 2})
        assert again["changed"] is False, again
    for state, after in POWER_STATES:
        with tally.check(f"xenserver_guest_powerstate: {state}"):
            result = module("xenserver_guest_powerstate", name="made", state=state)
            assert result.get("changed"), result
            assert result["instance"]["state"] == after, result
    with tally.check("xenserver_guest reconfigures a VM"):
        result = module(
            "xenserver_guest",
            name="made",
            state="present",
            name_desc="changed",
            hardware={"num_cpus": 3, "memory_mb": 768},
            disks=[{"size_mb": 128, "name": "root"}, {"size_mb": 32, "name": "data", "sr": "Shared storage"}],
            custom_params=[{"key": "HVM_boot_params", "value": {"order": "ndc"}}],
        )
        assert result.get("changed"), result
        facts = result["instance"]
        assert (facts["hardware"]["num_cpus"], facts["hardware"]["memory_mb"]) == (3, 768)
        assert [int(disk["size"]) for disk in facts["disks"]] == [128 * MIB, 32 * MIB]
        assert facts["name_desc"] == "changed"
    with tally.check("xenserver_guest renames a VM by its uuid"):
        uuid = module("xenserver_guest_info", name="made")["instance"]["uuid"]
        module("xenserver_guest", uuid=uuid, name="renamed", state="present")
        assert module("xenserver_guest_info", uuid=uuid)["instance"]["name"] == "renamed"
    with tally.check("xenserver_guest removes a VM with its disks"):
        result = module("xenserver_guest", name="renamed", state="absent")
        assert result.get("changed"), result
        gone = module("xenserver_guest_info", name="renamed")
        assert "instance" not in gone and "not found" in gone["msg"], gone
    with tally.check("a VM that is not there is named in the error"):
        assert "nobody" in module("xenserver_guest_info", name="nobody")["msg"]
