"""A cluster's log and state without the cluster, and what is saved of it."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from coord.backup.archive import Archive, SavedBackup
from coord.backup.founding import NewMember, load
from coord.backup.progress import unwatched
from coord.raft.configuration import Configuration, Seat, encode_configuration
from coord.raft.ready import Persist
from coord.raft.types import BEGINNING, HardState, Index, MemberId, Place, Run, Term
from coord.replica.snapshot_work import BeginSnapshot, EndSnapshot, SnapshotSaved, WritePiece
from coord.storage import RealFiles, Store
from coord.storage.files import StoppedFiles
from coord.storage.records import NO_CHAIN, encode_run
from coord.storage.snapshot_format import END, END_DATA, HEAD, HEAD_DATA, STATE, encode_piece
from coord.tree import commands
from coord.tree.machine import Machine, OnOutcome, Origin
from coord.tree.snapshots import freeze
from tests.tree.world import SEQUENTIAL, World

CLUSTER = 0xC0FFEE
SECRET = bytes(range(32))
FOUNDED_MS = 1_800_000_000_000
MEMBERS = {MemberId(member): f"host{member}:2281" for member in (1, 2, 3)}
SEGMENT_BYTES = 4096  # a few entries
NOBODY = Origin(MemberId(0), 0)


class History:
    """What a cluster of members 1, 2 and 3 has in its log; each entry is a run of its own."""

    def __init__(self) -> None:
        self.world = World()
        self.runs: list[Run] = []
        apply = self.world.machine.apply

        def recorded(run: Run, origin: Origin, on_outcome: OnOutcome) -> None:
            self.runs.append(run)
            apply(run, origin, on_outcome)

        self.world.machine.apply = recorded  # type: ignore[method-assign]
        self.world.do(commands.init_cluster(CLUSTER, SECRET))
        seats = tuple([Seat(member, address) for member, address in MEMBERS.items()])
        self.append(encode_configuration(Configuration(tuple(MEMBERS), seats=seats)), is_configuration=True)
        self.client = self.world.session(name="somebody")

    @property
    def last(self) -> int:
        return self.world.zxid

    def append(self, data: bytes, *, is_configuration: bool = False, term: int = 1) -> None:
        run = Run(Index(self.last + 1), 1, Term(term), data, is_configuration)
        self.world.machine.apply(run, NOBODY, lambda zxid, outcome: None)

    def fill(self, count: int) -> None:
        """Sequential znodes, below one parent."""
        if not self.world.exists("/q"):
            self.client.create("/q")
        for number in range(count):
            self.client.create("/q/n-", b"%d" % number * 20, mode=SEQUENTIAL)

    def place(self, index: int) -> Place:
        return Place(Index(index), self.runs[index - 1].term) if index else BEGINNING

    def chain(self, index: int) -> bytes:
        chain = NO_CHAIN
        for run in self.runs[:index]:
            chain = encode_run(run, chain)[1]
        return chain

    def machine(self, index: int) -> Machine:
        """As it was then."""
        world = World()
        for run in self.runs[:index]:
            world.machine.apply(run, NOBODY, lambda zxid, outcome: None)
        return world.machine

    def pieces(self, index: int) -> list[bytes]:
        frozen = freeze(self.machine(index))
        return list(iter(lambda: frozen.next_piece(10, 1 << 20), None))

    # -- what is saved of it

    def save(self, directory: Path, *indexes: int) -> None:
        """A backup that was begun at the first index, and added to at the others."""
        archive = Archive(str(directory))
        draft = archive.begin_state()
        draft.write(self.snapshot_file(indexes[0]))
        archive.take_state(draft, FOUNDED_MS, unwatched)
        for index in indexes[1:]:
            self.add(archive, index)
        archive.close()

    def add(self, archive: Archive, index: int) -> None:
        assert archive.manifest is not None
        log = archive.begin_log()
        for run in self.runs[archive.manifest.end.index : index]:
            log.write(run)
        archive.take_log(log, FOUNDED_MS, unwatched)

    def snapshot_file(self, index: int, cluster: int = CLUSTER) -> bytes:
        """As a server writes it."""
        place, id_ = self.place(index), 4711
        data = HEAD_DATA.pack(1, cluster, place.index, place.term, id_, self.chain(index))
        content = encode_piece(id_, 0, HEAD, data)
        pieces = self.pieces(index)
        for number, piece in enumerate(pieces, 1):
            content += encode_piece(id_, number, STATE, piece)
        end = END_DATA.pack(len(pieces) + 1, sha256(content).digest())
        return content + encode_piece(id_, len(pieces) + 1, END, end)

    def member(self, directory: Path, member: int, until: int, snapshots: Sequence[int] = ()) -> Path:
        """The directory of a member that came so far, and wrote snapshots, for which its log was cut."""
        store = Store.open(RealFiles(str(directory)), MemberId(member), SEGMENT_BYTES)
        store.adopt_cluster(CLUSTER)
        store.write([Persist(1, HardState(Term(1), None), None, [])])
        for run in self.runs[:until]:
            store.write([Persist(1, None, None, [run])])
            if run.first in snapshots:
                place = self.place(run.first)
                store.carry_out(BeginSnapshot(place, CLUSTER), store.chain_at(place))
                for piece in self.pieces(run.first):
                    store.carry_out(WritePiece(piece))
                saved = store.carry_out(EndSnapshot(place))
                assert isinstance(saved, SnapshotSaved)
                store.cut_log(saved.keeps_from.index)
        store.close()
        return directory


def new_member(member: int = 1, founded_ms: int = FOUNDED_MS, size: int = 3) -> NewMember:
    members = {one: MEMBERS[one] for one in list(MEMBERS)[:size]}
    return NewMember(MemberId(member), members, founded_ms, directory=1000 + member)


def opened(directory: Path) -> SavedBackup:
    files = StoppedFiles(str(directory))
    try:
        return SavedBackup.open(files)
    finally:
        files.close()


def loaded(directory: Path) -> Machine:
    return load(opened(directory), unwatched)
