"""Files of all releases are read; what is damaged is refused by file and offset, or makes no difference."""

import struct
from pathlib import Path

import pytest

from coord.backup.errors import CannotFound
from coord.backup.progress import unwatched
from coord.moving.files import Found, ServerFiles
from coord.moving.old_tree import CONTAINER, ttl_of
from coord.storage.errors import DamagedFile
from tests.moving.damage import damaged, is_refused
from tests.moving.writing import (
    OPEN,
    SnapshotFile,
    acl,
    create,
    entry,
    log_file,
    multi,
    set_data,
    text,
)

CREATE, DELETE, SET_DATA, SET_ACL, MULTI, CREATE2, CONTAINER_TYPE, DELETE_CONTAINER, TTL = (
    1,
    2,
    5,
    7,
    14,
    15,
    19,
    20,
    21,
)
CHECK, RECONFIG, ERROR, CREATE_SESSION, CLOSE_SESSION = 13, 16, -1, -10, -11
TIMEOUT = struct.pack(">i", 30_000)
BOB = [(31, "digest", "bob:hash")]


def snapshot(sessions: dict[int, int] | None = None) -> SnapshotFile:
    return SnapshotFile(sessions, {1: OPEN, 2: BOB}).znode("/", acl=1).znode("/zookeeper").znode("/zookeeper/quota")


def written(directory: Path, files: dict[str, bytes]) -> Path:
    (directory / "version-2").mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / "version-2" / name).write_bytes(content)
    return directory


def read(directory: Path, logs: Path | None = None) -> Found:
    return ServerFiles(directory, logs).read(unwatched)


def after(directory: Path, *entries: bytes, base: bytes | None = None) -> Found:
    base = snapshot().finished() if base is None else base
    return read(written(directory, {"snapshot.0": base, "log.1": log_file(*entries)}))


def test_files_of_3_4_are_read(tmp_path: Path) -> None:
    """No digests; who closes a session does not say which znodes go with it."""
    found = after(
        tmp_path,
        entry(1, CREATE_SESSION, TIMEOUT, session=77),
        entry(2, CREATE, create("/a", b"one", 1), time_ms=1000),
        entry(3, CREATE, create("/a/held", None, 1, ephemeral=True), session=77),
        entry(4, SET_DATA, set_data("/a", b"two", 1), time_ms=2000),
        entry(5, SET_ACL, text("/a") + acl(BOB) + struct.pack(">i", 1)),
        entry(6, ERROR, struct.pack(">i", -101)),
        entry(7, CLOSE_SESSION, b"", session=77),
    )

    one = found.tree.znodes["/a"]
    assert (one.data, one.version, one.aversion, one.cversion, len(one.children)) == (b"two", 1, 1, 1, 0)
    assert (one.czxid, one.mzxid, one.pzxid, one.ctime, one.mtime) == (2, 4, 7, 1000, 2000)
    assert one.acl == tuple(BOB)
    assert "/a/held" not in found.tree.znodes
    assert not found.tree.sessions
    assert (found.zxid, found.transactions, found.digest, found.warnings) == (7, 7, None, [])


def test_all_kinds_of_transactions_are_known(tmp_path: Path) -> None:
    found = after(
        tmp_path,
        entry(1, CONTAINER_TYPE, text("/c") + text(b"") + acl(OPEN) + struct.pack(">i", 1)),
        entry(2, TTL, text("/t") + text(b"") + acl(OPEN) + struct.pack(">iq", 2, 5000)),
        entry(3, CREATE2, create("/x", b"", 3)),
        entry(4, MULTI, multi((CREATE, create("/m", b"", 4)), (CHECK, text("/m") + TIMEOUT), (DELETE, text("/x")))),
        entry(5, MULTI, multi((CREATE, create("/no", b"", 5)), (ERROR, struct.pack(">i", -103)))),
        entry(6, CREATE, create("/gone", b"", 5)),
        entry(7, DELETE_CONTAINER, text("/gone")),
        entry(8, RECONFIG, set_data("/zookeeper", b"config", -1)),
    )

    assert found.tree.znodes.keys() == {"/", "/zookeeper", "/zookeeper/quota", "/c", "/t", "/m"}
    assert found.tree.znodes["/c"].owner == CONTAINER
    assert ttl_of(found.tree.znodes["/t"].owner) == 5000
    assert found.tree.znodes["/zookeeper"].version == -1
    assert found.tree.znodes["/"].cversion == 5


def test_an_error_at_the_end_leaves_the_digest_before_it_to_be_compared(tmp_path: Path) -> None:
    """It has none of its own, and changes nothing."""
    made = entry(1, CREATE, create("/a", b"", 1) + struct.pack(">iq", 2, 4711))

    found = after(tmp_path, made, entry(2, ERROR, struct.pack(">i", -110)))

    assert found.digest is False, "compared, and found to be another"


@pytest.mark.parametrize("digest", [b"", struct.pack(">iq", 2, 4711)], ids=["no digest", "digest"])
@pytest.mark.parametrize("paths", [[], ["/abc"], ["/a", "/b"], None], ids=["none", "one", "two", "not told"])
def test_who_closes_a_session_names_its_znodes_or_not(tmp_path: Path, paths: list[str] | None, digest: bytes) -> None:
    """From 3.6 on, if so configured; one path may take as many bytes as a digest."""
    body = b"" if paths is None else struct.pack(">i", len(paths)) + b"".join(map(text, paths))
    creates = [entry(n, CREATE, create(path, b"", n, ephemeral=True)) for n, path in enumerate(["/abc", "/a", "/b"], 1)]

    found = after(tmp_path, *creates, entry(4, CLOSE_SESSION, body + digest))

    assert not {"/abc", "/a", "/b"} & found.tree.znodes.keys()
    assert found.digest is (False if digest else None)


@pytest.mark.parametrize("form", [{}, {"digest": (5, 2, 1)}, {"zxid": 5}, {"digest": (5, 2, 1), "zxid": 5}], ids=str)
def test_snapshots_of_all_releases_are_read(tmp_path: Path, form: dict[str, int]) -> None:
    base = snapshot({9: 30_000}).znode("/a", b"x", acl=2, zxid=4, owner=9).finished(**form)  # type: ignore[arg-type]

    found = read(written(tmp_path, {"snapshot.5": base, "log.4": log_file(entry(4, CREATE, create("/a", b"x", 9)))}))

    assert found.tree.sessions == {9: 30_000}
    assert found.tree.ephemerals == {9: {"/a": None}}
    assert found.tree.znodes["/a"].acl == tuple(BOB)
    assert found.digest is (False if "digest" in form else None)


def test_what_a_snapshot_has_already_is_done_again_without_harm(tmp_path: Path) -> None:
    """It was begun at zxid 1, and written while 2 to 6 came: some znodes have them, others not."""
    base = snapshot().znode("/new", b"later", acl=7, zxid=5, version=0).finished()
    found = after(
        tmp_path,
        entry(1, CREATE, create("/old", b"", 1)),
        entry(2, CREATE, create("/old/child", b"", 1)),
        entry(3, DELETE, text("/old/child")),
        entry(4, DELETE, text("/old")),
        entry(5, CREATE, create("/new", b"later", 2, entries=BOB)),
        entry(6, SET_DATA, set_data("/elsewhere", b"", 3)),
        base=base,
    )

    root, new = found.tree.znodes["/"], found.tree.znodes["/new"]
    assert "/old" not in found.tree.znodes
    assert (root.cversion, root.pzxid) == (2, 5)
    assert (new.data, new.acl) == (b"later", tuple(BOB))


def test_a_torn_end_is_cut_off_with_a_warning_wherever_it_is_torn(tmp_path: Path) -> None:
    first, last = entry(1, CREATE, create("/a", b"", 1)), entry(2, CREATE, create("/b", b"BBB", 2))
    base = {"snapshot.0": snapshot().finished()}
    for padding in (0, 100):
        for length in range(1, len(last)):
            torn = log_file(first, last[:length], padding=padding)
            found = read(written(tmp_path, base | {"log.1": torn}))
            if last[:length].strip(b"\0"):
                assert f"at offset {16 + len(first)}, was not finished" in found.warnings[0]
            assert (found.zxid, "/b" in found.tree.znodes) == (1, False)


def test_a_server_that_was_started_after_that_goes_on_in_a_new_file(tmp_path: Path) -> None:
    torn = log_file(entry(1, CREATE, create("/a", b"", 1)), entry(2, CREATE, create("/never", b"", 2))[:-9])
    files = {"snapshot.0": snapshot().finished(), "log.1": torn, "log.2": log_file(entry(2, DELETE, text("/a")))}

    found = read(written(tmp_path, files))

    assert found.zxid == 2
    assert not {"/a", "/never"} & found.tree.znodes.keys()


def test_an_epoch_follows_another_and_has_no_gap(tmp_path: Path) -> None:
    epoch = 3000 << 32
    entries = [entry(n, CREATE, create(f"/{n:x}", b"", 1)) for n in (1, 2, epoch + 1, epoch + 2, epoch + 4)]
    assert after(tmp_path, *entries[:4]).zxid == epoch + 2
    with pytest.raises(DamagedFile, match=r"log\.1, offset \d+: zxid 0xbb800000004 after 0xbb800000002"):
        after(tmp_path, *entries)


def test_logs_that_are_missing_are_noticed(tmp_path: Path) -> None:
    base = snapshot().finished(digest=(9, 2, 1))
    written(tmp_path, {"snapshot.5": base})
    with pytest.raises(CannotFound, match="name the server's dataLogDir with --log-dir"):
        read(tmp_path)
    with pytest.raises(CannotFound, match="end with zxid 0x5, and a snapshot has something of 0x9"):
        read(tmp_path, tmp_path)
    written(tmp_path, {"log.9": log_file(entry(9, DELETE, text("/a")))})
    with pytest.raises(DamagedFile, match="zxid 0x9 after 0x5: what is between them is missing"):
        read(tmp_path)


def test_a_snapshot_that_was_not_finished_is_passed_over_if_the_logs_have_it_all(tmp_path: Path) -> None:
    log = log_file(*(entry(n, CREATE, create(f"/{n}", b"", n)) for n in (1, 2, 3)))
    files = {"snapshot.0": snapshot().finished(), "log.1": log, "snapshot.3": snapshot().finished()[:-20]}

    found = read(written(tmp_path, files))

    assert found.snapshot.name == "snapshot.0"
    assert "snapshot.3 was not finished" in found.warnings[0]
    assert "/3" in found.tree.znodes
    written(tmp_path, {"snapshot.4": b""})
    with pytest.raises(CannotFound, match="a snapshot has something of 0x4"):
        read(tmp_path)


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotFound, match="has no snapshot"):
        read(tmp_path)
    with pytest.raises(CannotFound, match="no snapshot was ever finished"):
        read(written(tmp_path, {"snapshot.0": b"ZKSN", "log.1": b""}))


@pytest.mark.parametrize("mask", [0xFF, 1], ids=["inverted", "one bit"])
def test_every_damaged_byte_is_refused_by_file_and_offset(tmp_path: Path, mask: int) -> None:
    """But where none of it is used, as in the padding of a log."""
    files = {
        "snapshot.1": snapshot({7: 30_000}).znode("/a", b"x", zxid=1, owner=7).finished(digest=(1, 2, 3), zxid=1),
        "log.1": log_file(
            entry(1, CREATE, create("/a", b"x", 1)),
            entry(2, CREATE, create("/b", b"B" * 9, 2)),
            entry(3, SET_DATA, set_data("/a", b"BB", 2)),
            padding=40,
        ),
    }
    sound = read(written(tmp_path, files))
    unused = 0
    for name, content in files.items():
        for offset in range(len(content)):
            with damaged(tmp_path / "version-2" / name, offset, mask):
                unused += not is_refused(tmp_path, name, sound)
    assert unused <= 8 + 40, "the number that each log has, and the padding"


def test_a_wrong_length_is_not_taken_for_a_torn_end(tmp_path: Path) -> None:
    """Else all that follows would be lost with a mere warning."""
    entries = [entry(n, CREATE, create(f"/{n}", b"B" * n, n)) for n in range(1, 20)]
    for number in (1, 10, 18, 19):
        whole = log_file(*entries)
        offset = 16 + sum(map(len, entries[: number - 1]))
        for length in (1 << 16, 0x7FFF_FFFF):
            wrong = whole[: offset + 8] + struct.pack(">i", length) + whole[offset + 12 :]
            written(tmp_path, {"snapshot.0": snapshot().finished(), "log.1": wrong})
            with pytest.raises(DamagedFile, match=rf"log\.1, offset {offset}: a transaction whose length is wrong"):
                read(tmp_path)
