"""Every frame that a workload makes is one that a server understands, with its xid where it belongs."""

from collections import Counter
from itertools import islice

import pytest

from coord.cli.bench_workloads import Template, Workload, build
from coord_protocol.frames import LENGTH, REQUEST_HEADER, FrameSplitter
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import CreateRequest, GetDataRequest, OpCode, SetDataRequest, SyncRequest

ROOT = "/coord-bench-1"
VALUE = b"some value"
KEYS = 50


def decoded(template: Template, xid: int) -> tuple[OpCode, bytes]:
    """What a server reads: the opcode and the record's bytes, if length and xid are right."""
    frames = FrameSplitter().feed(template.before + LENGTH.pack(xid) + template.after)
    assert len(frames) == 1
    found, opcode = REQUEST_HEADER.unpack_from(frames[0])
    assert found == xid
    return OpCode(opcode), frames[0][REQUEST_HEADER.size :]


def asked(workload: Workload, session: int, count: int) -> list[tuple[OpCode, bytes]]:
    return [decoded(template, xid) for xid, template in enumerate(islice(workload.requests(session), count), start=77)]


def test_set_writes_the_value_to_one_of_the_keys() -> None:
    for opcode, body in asked(build("set", ROOT, KEYS, VALUE), session=3, count=500):
        request = SetDataRequest.decode(body)
        assert opcode == OpCode.SET_DATA
        assert request == SetDataRequest(request.path, VALUE, -1)
        assert request.path in {f"{ROOT}/k{key:05d}" for key in range(KEYS)}


def test_get_reads_one_of_the_keys_without_a_watch() -> None:
    for opcode, body in asked(build("get", ROOT, KEYS, VALUE), session=0, count=500):
        assert opcode == OpCode.GET_DATA
        assert not GetDataRequest.decode(body).watch


def test_sync_is_followed_by_the_read_of_the_same_key() -> None:
    workload = build("sync+get", ROOT, KEYS, VALUE)
    assert workload.requests_per_operation == 2
    for session in range(5):
        requests = asked(workload, session, 40)
        for sync, get in zip(requests[::2], requests[1::2], strict=True):
            assert [sync[0], get[0]] == [OpCode.SYNC, OpCode.GET_DATA]
            assert SyncRequest.decode(sync[1]).path == GetDataRequest.decode(get[1]).path


def test_create_never_repeats_a_path() -> None:
    workload = build("create", ROOT, KEYS, VALUE)
    paths = []
    for session in (0, 1, 12_345):
        for opcode, body in asked(workload, session, 30):
            request = CreateRequest.decode(body)
            assert opcode == OpCode.CREATE
            assert request == CreateRequest(request.path, VALUE, OPEN_ACL_UNSAFE, 0)
            assert request.path.startswith(f"{ROOT}/s{session:05d}/n")
            paths.append(request.path)

    assert len(set(paths)) == 90


@pytest.mark.parametrize("reads", [10, 50, 90])
def test_mixed_load_has_the_share_of_reads_that_was_asked_for(reads: int) -> None:
    requests = asked(build(f"{reads}/{100 - reads}", ROOT, KEYS, VALUE), session=0, count=8000)

    share = sum(opcode == OpCode.GET_DATA for opcode, _ in requests) / len(requests)

    assert abs(share - reads / 100) < 0.03


def test_keys_are_used_evenly_and_sessions_do_not_keep_step() -> None:
    workload = build("get", ROOT, KEYS, VALUE)

    used = Counter(GetDataRequest.decode(body).path for _, body in asked(workload, session=0, count=8192))

    assert len(used) == KEYS
    assert max(used.values()) < 2 * min(used.values())
    assert asked(workload, session=0, count=20) != asked(workload, session=1, count=20)


def test_requests_have_no_end() -> None:
    assert len(asked(build("set", ROOT, 1, b""), session=2, count=30_000)) == 30_000
