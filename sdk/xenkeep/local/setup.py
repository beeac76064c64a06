"""``xenkeep init``: the home folder and its authority."""

import subprocess
import sys
from pathlib import Path

from xenkeep.errors import Error
from xenkeep.home import IDENTITIES, Home


def init(
    path: Path, site: str, *, any_port: bool = False, hosts: tuple[str, ...] = (), renew: bool = False
) -> Home:
    """Make the home folder in ``path`` with an authority and certificates; repeating it changes
    nothing but certificates that end soon (``renew``: all of them), which are issued again for the same keys.

    ``hosts`` are the names and addresses of this machine that others will use. Raises Error Internal when the
    authority cannot be made.
    """
    home = Home.create(path, site, any_port=any_port)
    names = [f"{name}={','.join(hosts)}" if hosts else name for name in IDENTITIES]
    command = [sys.executable, "-m", "services.chassis.authority", str(path / "pki"), *names]
    command += ["--renew"] if renew else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Error(
            "Internal",
            "AUTHORITY_FAILED",
            f"The certificates could not be made in {path / 'pki'}: {done.stderr.strip()}",
            "Check that the folder can be written.",
        )
    return home
