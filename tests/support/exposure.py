"""What a process shows of itself to whoever looks: files, arguments, environment, core dumps."""

from pathlib import Path


def everything_below(directory: Path) -> list[Path]:
    """All files."""
    return [path for path in directory.rglob("*") if path.is_file()]


def shown_by(pid: int) -> bytes:
    """Arguments and environment; the latter only where we may see it, which is as root alone."""
    process = Path(f"/proc/{pid}")
    try:
        environment = (process / "environ").read_bytes()
    except PermissionError:
        environment = b""
    return (process / "cmdline").read_bytes() + environment


def leaves_no_core(pid: int) -> bool:
    """Whether both the limit is zero and the kernel takes the process for not dumpable (proc(5)).

    The files of such a process belong to root, so that for root there is no telling.
    """
    process = Path(f"/proc/{pid}")
    limits = (process / "limits").read_text().splitlines()
    (limit,) = (line.split()[4:6] for line in limits if line.startswith("Max core file size"))
    return limit == ["0", "0"] and (process / "environ").stat().st_uid == 0
