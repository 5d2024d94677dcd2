"""Small plays with a transcript: a cluster whose messages arrive in order and whose disks answer at once.

Chance plays no part (every jitter is a half), so that a play always yields the same lines:

    == text                  what the author of the play did
    1 -> 2  append t1 …      a message arrives
    1 -x 2  append t1 …      a message is lost
    2 disk  t1 v1 +1/1       a disk has stored: hard state (term, vote), truncation, runs
    1 says  BecameLeader(term=1)
    3 reads at 7             a read is answered
"""

from collections.abc import Callable

from coord.raft import MemberId
from coord.raft.ready import Persist

from .cluster import Cluster
from .texts import half, render, show_run


class Play:
    """One cluster and what was seen of it."""

    def __init__(self, size: int = 3) -> None:
        self.lines: list[str] = []
        self.cut: set[tuple[int, int]] = set()
        """Directions in which everything is lost."""
        self.cluster = Cluster(size, half)
        self._events = 0
        for number in self.cluster.members:
            self._see(number)

    def note(self, text: str) -> None:
        """Say what comes now."""
        self.lines.append(f"== {text}")

    def clock(self, number: int) -> None:
        """Time passes until this member has something to do, and only it looks at the clock."""
        member = MemberId(number)
        self.cluster.now = max(self.cluster.now, self.cluster.alive[member].next_deadline())
        self.note(f"{self.cluster.now:.3f} s: {number} looks at the clock")
        self.cluster.advance(member)
        self.turn(number)

    def elect(self, number: int) -> None:
        """Make this member the leader, off stage."""
        self._off_stage(lambda: self.clock(number))
        assert self.cluster.alive[MemberId(number)].is_leader

    def beat(self, leader: int, until: float) -> None:
        """Time passes in which this leader sends its heartbeats, off stage."""
        raft = self.cluster.alive[MemberId(leader)]
        while raft.next_deadline() < until:
            self._off_stage(lambda: self.clock(leader))

    def _off_stage(self, act: Callable[[], None]) -> None:
        lines, self.lines = self.lines, []
        act()
        self.settle()
        self.lines = lines

    def turn(self, number: int) -> None:
        """End a member's turn; its messages are on their way then, and its disk works."""
        self.cluster.end_turn(MemberId(number))
        self._see(MemberId(number))

    def settle(self) -> None:
        """Let everything arrive and every disk answer, until nothing moves."""
        while self.cluster.wire or any(one.disk.queue for one in self.cluster.members.values()):
            letters = list(self.cluster.wire)
            self.cluster.wire.clear()
            for letter in letters:
                is_lost = (letter.sender, letter.to) in self.cut or letter.to not in self.cluster.alive
                arrow = "-x" if is_lost else "->"
                self.lines.append(f"{letter.sender} {arrow} {letter.to}  {render(letter.message)}")
                if not is_lost:
                    self.cluster.deliver(letter)
            for number in self.cluster.members:
                self._work_disk(number)
                self.turn(number)

    def _work_disk(self, number: MemberId) -> None:
        queue = self.cluster.members[number].disk.queue
        while queue:
            self.lines.append(f"{number} disk  {_show(queue[0])}")
            self.cluster.write(number)
            self.cluster.answer(number)

    def _see(self, number: MemberId) -> None:
        for who, event in self.cluster.happened[self._events :]:
            self.lines.append(f"{who} says  {event}")
        self._events = len(self.cluster.happened)
        for answer in self.cluster.answers:
            self.lines.append(f"{number} reads at {answer.index}")
        self.cluster.answers.clear()

    @property
    def transcript(self) -> str:
        """Everything seen so far, a line each."""
        return "\n".join(self.lines) + "\n"


def _show(persist: Persist) -> str:
    words = []
    if persist.hard_state is not None:
        vote = persist.hard_state.voted_for
        words.append(f"t{persist.hard_state.term} v{vote or '-'}")
    if persist.truncate_from is not None:
        words.append(f"cut {persist.truncate_from}-")
    words += [f"+{show_run(run)}" for run in persist.runs]
    return " ".join(words)
