"""A directory that is made from a saved state: after a crash at any moment it is whole, or no server takes it."""

import pytest

from coord.raft.types import Index, MemberId, Place, Term
from coord.storage import StorageError
from coord.storage.founding import found_directory
from coord.storage.identity import IDENTITY_NAME, Identity
from tests.storage.building import open_store
from tests.storage.simulated import Crashed, SimulatedFiles, everything, nothing, some

SEGMENT_BYTES = 2048
PLACE = Place(Index(1 << 50), Term(7))
CHAIN = bytes(range(16))
PIECES = [b"one", b"two" * 1000, b"three"]
IDENTITY = Identity(MemberId(1), cluster=0xC0FFEE, boots=0, directory=4711)


def make(files: SimulatedFiles) -> None:
    found_directory(files, IDENTITY, PLACE, CHAIN, PIECES, SEGMENT_BYTES)


def is_whole(files: SimulatedFiles) -> bool:
    """What a server would go on from. Raises what it would refuse to start with."""
    store = open_store(files, SEGMENT_BYTES)
    if not store.cluster_id:
        return False
    assert (store.cluster_id, store.directory_id) == (IDENTITY.cluster, IDENTITY.directory)
    assert store.stored.snapshot == store.stored.start == PLACE
    assert store.stored.hard_state.term == PLACE.term
    assert list(store.read_state()) == PIECES
    assert store.chain_at(PLACE) == CHAIN
    return True


def test_a_new_directory_is_durable_when_it_is_made() -> None:
    files = SimulatedFiles()

    make(files)

    assert is_whole(files.after_crash(nothing))


@pytest.mark.parametrize("choice", ["everything", "nothing", 1, 2, 3, 4])
def test_a_directory_that_was_not_finished_is_not_taken_for_anything(choice: str | int) -> None:
    """Above all not for an empty one: its server would found a cluster that has nothing of the saved state."""
    survives = some(choice) if isinstance(choice, int) else {"everything": everything, "nothing": nothing}[choice]
    found = []
    for operation in range(1000):
        files = SimulatedFiles()
        files.crash_at = operation
        try:
            make(files)
        except Crashed:
            found.append(after(files.after_crash(survives)))
        else:
            break
    assert found == sorted(found, key=["empty", "refused", "whole"].index)
    assert found.count("empty") < 15, "only until the directory has an identity"
    assert found.count("refused") > 15


def after(files: SimulatedFiles) -> str:
    began = IDENTITY_NAME in files.names()
    try:
        assert is_whole(files) == began
    except StorageError as error:
        return "refused" if began and "the log is gone" in str(error) else str(error)
    return "whole" if began else "empty"
