"""What a process uses, as Linux tells it in /proc (proc(5)); other systems tell nothing."""

import os
from pathlib import Path

_USER_TIME, _SYSTEM_TIME = 11, 12  # counted from the field after the command's name


def resident_bytes(pid: int) -> int | None:
    """How much memory the process holds; None where the system does not tell."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int) -> int | None:
    """How much memory the process has held at the most; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def cpu_seconds(pid: int) -> float | None:
    """How much processor time the process has used since it began; None where the system does not tell."""
    try:
        _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    numbers = fields.split()
    return (int(numbers[_USER_TIME]) + int(numbers[_SYSTEM_TIME])) / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> int | None:
    """How many files and sockets the process has open; None where the system does not tell."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None


def thread_seconds(pid: int) -> tuple[float, float] | None:
    """How much processor time the main thread has used, and all others together; None where that is not told.

    In nanoseconds by the scheduler's own account, which is finer than the clock ticks of /proc/PID/stat.
    """
    try:
        tasks = {int(task.name): task.joinpath("schedstat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()}
    except OSError:
        return None
    used = {task: int(text.split()[0]) / 1e9 for task, text in tasks.items()}
    main = used.pop(pid)
    return main, sum(used.values())


def written_bytes(pid: int) -> int | None:
    """How many bytes the process has caused to be written to disk; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), None)


def busy_seconds() -> float | None:
    """How much processor time all processes of the machine have used, and its host has taken; None where not told."""
    try:
        user, nice, system, _, _, *others = Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]
    except (OSError, ValueError):
        return None
    return sum(map(int, (user, nice, system, *others))) / os.sysconf("SC_CLK_TCK")
