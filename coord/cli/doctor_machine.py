"""What `coord doctor` looks at on the machine it runs on: Python, limits, and the directory for a server's data."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coord.admin.descriptors import max_file_descriptors
from coord.cli.doctor_findings import Finding, bad, ok, unknown, warn

FEW_DESCRIPTORS: Final = 4096  # each client takes one; the usual 1024 are gone before anybody expects it
LOW_SPACE: Final = 1 << 30  # bytes; a log segment and its successor fit many times, but not for long
LOW_SPACE_SHARE: Final = 0.1

WRITE_BYTES: Final = 4096
WRITES: Final = 400
MEASURE_SECONDS: Final = 2.0
# A server writes inline up to 1.5 ms (coord/storage/disk.py). Each write of a client waits for a sync of a majority.
SLOW_SYNC_MS: Final = 10.0
STALLED_SYNC_MS: Final = 100.0  # two heartbeats: a leader that syncs for so long seems dead to its followers
FORGETFUL: Final = {"tmpfs", "ramfs"}
REMOTE: Final = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "ceph"}


def check_machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if not __debug__:
        yield bad("python", f"{version} with -O, which removes checks that keep data safe", "start it without -O")
    else:
        yield ok("python", f"{version}, checks are on")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        yield warn(
            "processors",
            "one: a server and its disk take turns, and other programs delay both",
            "give it two, or expect elections when the machine is busy",
        )
    else:
        yield ok("processors", f"{cores}")
    yield _check_descriptors(max_file_descriptors())


def _check_descriptors(limit: int) -> Finding:
    if 0 <= limit < FEW_DESCRIPTORS:
        return warn(
            "open files",
            f"{limit} for a process started from here, and each client of a server takes one",
            "raise it for the server: `ulimit -n 65536`, or LimitNOFILE=65536 in its systemd unit",
        )
    return ok("open files", "no limit" if limit < 0 else f"up to {limit:,}")


def check_data(directory: Path) -> Iterator[Finding]:
    """A directory that is not there yet is judged by where it would be made."""
    place = directory.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        yield bad("data", f"{place} is not a directory", "name a directory of its own for `data`")
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield bad("data", f"{place} cannot be written to", f"make it the server's own: chown its user {place}")
        return
    yield ok("data", f"{directory} can be written to" if place == directory.absolute() else f"{directory} can be made")
    yield _check_filesystem(place)
    yield _check_space(place)
    yield _check_disk(place)


def _check_filesystem(place: Path) -> Finding:
    kind = _filesystem_of(place)
    if kind is None:
        return unknown("file system", "this system does not tell")
    if kind in FORGETFUL:
        return warn(
            "file system",
            f"{kind}: all is gone after a restart of the machine, and a member may not forget how it voted",
            "put `data` on a disk; this is for tests",
        )
    if kind in REMOTE:
        return warn(
            "file system",
            f"{kind}: a network under the log makes each write as slow, and its locks may be of no use",
            "put `data` on a local disk",
        )
    return ok("file system", kind)


def _filesystem_of(place: Path) -> str | None:
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    resolved = place.resolve()
    found: tuple[int, str] | None = None
    for mount in mounts:
        _, point, kind, *_ = mount.split()
        mounted = Path(point.replace("\\040", " "))
        # The last one of those mounted at one place is what is seen there.
        if resolved.is_relative_to(mounted) and (found is None or len(mounted.parts) >= found[0]):
            found = len(mounted.parts), kind
    return found[1] if found is not None else None


def _check_space(place: Path) -> Finding:
    space = os.statvfs(place)
    free, total = space.f_bavail * space.f_frsize, max(space.f_blocks * space.f_frsize, 1)
    says = f"{free / (1 << 30):,.1f} GiB free of {total / (1 << 30):,.1f}"
    remedy = "a full disk stops the server: make room, or move `data`"
    if free < LOW_SPACE:
        return bad("disk space", says, remedy)
    return warn("disk space", says, remedy) if free < total * LOW_SPACE_SHARE else ok("disk space", says)


def _check_disk(place: Path) -> Finding:
    try:
        milliseconds = sorted(_measure_syncs(place))
    except OSError as error:
        return bad("disk", f"{place}: {error.strerror}", "a server could not write its log there")
    p50, p99 = milliseconds[len(milliseconds) // 2], milliseconds[len(milliseconds) * 99 // 100]
    return judge_syncs("disk", f"{len(milliseconds)} syncs of 4 KiB in {place}", p50, p99)


def judge_syncs(check: str, what: str, p50: float, p99: float) -> Finding:
    """In milliseconds."""
    says = f"{what}: median {p50:.2f} ms, one in a hundred takes {p99:.2f} ms"
    if p99 >= STALLED_SYNC_MS:
        return bad(
            check,
            f"{says}: while a leader waits so long, its followers may elect another",
            "give the log a disk of its own, or raise timing.election on all members",
        )
    if p50 >= SLOW_SYNC_MS:
        return warn(
            check,
            f"{says}; each write waits for the disks of a majority",
            "an SSD with power-loss protection takes 0.1 ms; see who else writes to this disk",
        )
    return ok(check, says)


def _measure_syncs(place: Path) -> list[float]:
    """Milliseconds of each, as a server's log does it: fdatasync of appends into space that was reserved."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=place, prefix=".coord-doctor-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, WRITES * WRITE_BYTES)
        os.fsync(file.fileno())
        block = os.urandom(WRITE_BYTES)
        end = time.monotonic() + MEASURE_SECONDS
        for position in range(WRITES):
            os.pwrite(file.fileno(), block, position * WRITE_BYTES)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begin) * 1000)
            if time.monotonic() > end:
                break
    return taken
