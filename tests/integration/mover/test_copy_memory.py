"""What a copy takes of memory, at either end, does not follow how much is copied."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.integration.mover.replica_site import MIB, SendingSite
from tests.support.pki import tls_for
from tests.support.ports import free_port
from tests.unit.repository.world import back_up, noise, reopen

PACK_BYTES = 8 * MIB
POINT_BYTES = 32 * MIB
FEW, MANY = 3, 9
"""Points."""
SENT_MIB, KEPT_MIB = 16, 40
"""Most that a copy of many takes more than one of few; who keeps it is still getting under way with few."""


async def copied(sending: Path, keeping: Path) -> tuple[int, int, int]:
    """MiB that were copied, and the most the sending and the receiving process had of memory."""
    address = f"127.0.0.1:{free_port()}"
    keeper = await _end("keep", keeping, address)
    try:
        assert keeper.stdout is not None
        assert await keeper.stdout.readline() == b"serving\n"
        sender = await _end("send", sending, address)
        out, _ = await sender.communicate()
        assert sender.returncode == 0
        done = json.loads(out)
        return done["bytes"] // MIB, done["peak_rss_mib"], _peak_mib(keeper.pid)
    finally:
        keeper.kill()
        await keeper.wait()


async def test_three_times_as_much_takes_no_more_memory_to_send_or_to_keep(tmp_path: Path) -> None:
    tls_for(tmp_path / "pki", "mover")
    site = SendingSite(tmp_path / "sending", PACK_BYTES)
    site.repository.close()
    peaks, made = [], 0
    for count in (FEW, MANY):
        with reopen(site.here, tmp_path / "sending/cache") as repository:
            for number in range(made, count):
                back_up(repository, f"p{number}", noise(POINT_BYTES, number))
        made = count
        copied_mib, *both = await copied(tmp_path / "sending", tmp_path / f"keeping-{count}")
        assert copied_mib >= count * POINT_BYTES // MIB
        peaks.append(both)
    (few_sent, few_kept), (many_sent, many_kept) = peaks
    assert many_sent - few_sent < SENT_MIB, peaks
    assert many_kept - few_kept < KEPT_MIB, peaks


async def _end(role: str, folder: Path, address: str) -> asyncio.subprocess.Process:
    arguments = ("-m", "tests.bench.wan.ends", role, str(folder), address)
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE)


def _peak_mib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10
