"""What the machine says of itself and of processes: processor time, memory. Linux's /proc."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from coord.cli.bench_load import LoadError

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def require(program: str, what: str, packages: str) -> None:
    """Raise `LoadError` if there is no such program or file."""
    if shutil.which(program) is None and not Path(program).exists():
        raise LoadError(f"{what} is not installed ({program} is missing): apt-get install {packages}")


def require_module(name: str, package: str) -> None:
    """Raise `LoadError` if there is no such Python module."""
    if find_spec(name) is None:
        raise LoadError(f"{name} is not installed: pip install {package}")


def environment_with_bytecode() -> dict[str, str]:
    """Ours, but that Python keeps what it compiles, as it does on any machine unless told otherwise.

    Or each process would compile all it imports anew, which takes twice as long as to start (0.30 s of processor time
    for `coord serve`, 0.14 s with its bytecode); installers compile it beforehand.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cpu_of(pid: int) -> float:
    """Seconds of processor time of a process, all its threads; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def busy_seconds() -> float:
    """Processor time that the whole machine has spent on anything."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS


def resident_of(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
