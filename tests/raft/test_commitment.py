"""When a run is committed: paper §5.3, §5.4.2 and figure 8; thesis §10.2.1 (the leader's own disk)."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from coord.raft import Config, MemberId, Message, Raft
from coord.raft.messages import Append, AppendReply
from coord.raft.quorum import agreed
from coord.raft.types import Index, Round

from .cluster import Cluster
from .texts import disk, elect, half, leader, member, save, show_log

ONE, TWO, THREE, FOUR, FIVE = (MemberId(number) for number in (1, 2, 3, 4, 5))


def acked(raft: Raft, peer: MemberId, match: int) -> None:
    raft.step(peer, AppendReply(raft.term, Round(1), Index(match)), 0.0)


def committed(raft: Raft) -> list[str]:
    return [f"{run.term}/{run.first}" for run in raft.take_ready().committed]


def test_run_is_committed_when_a_majority_of_disks_holds_it() -> None:
    """§5.3: of three, the leader's and one other."""
    raft = leader()

    acked(raft, TWO, 1)

    assert committed(raft) == ["1/1"]


def test_leader_counts_itself_only_when_its_own_disk_has_answered() -> None:
    """Thesis §10.2.1: one ack and an unwritten leader are one disk of three."""
    raft = leader()
    acked(raft, TWO, 1)
    committed(raft)
    raft.propose(b"x", 1, 0.0)
    ready = raft.take_ready()
    assert ready.persist is not None

    acked(raft, TWO, 2)
    assert committed(raft) == []
    raft.persisted(ready.persist.token, 0.0)

    assert committed(raft) == ["1/2"]


def test_leader_commits_without_its_own_disk_if_the_others_suffice() -> None:
    """Thesis §10.2.1: two of three disks are a majority, whoever owns them."""
    raft = leader()
    raft.propose(b"x", 1, 0.0)
    raft.take_ready()

    acked(raft, TWO, 2)
    acked(raft, THREE, 2)

    assert committed(raft) == ["1/1", "1/2"]


def test_leader_of_five_needs_two_others() -> None:
    """§5.3: three of five."""
    raft = leader(voters=(1, 2, 3, 4, 5))

    acked(raft, TWO, 1)
    assert committed(raft) == []
    acked(raft, FIVE, 1)

    assert committed(raft) == ["1/1"]


def test_runs_of_older_terms_are_not_committed_by_counting() -> None:
    """§5.4.2: a majority that holds them proves nothing until it holds a run of our own term as well."""
    raft = member("1/1 2/2")
    elect(raft)
    save(raft)

    acked(raft, TWO, 2)
    assert committed(raft) == []
    acked(raft, TWO, 3)

    assert committed(raft) == ["1/1", "2/2", "3/3"]


class FigureEight:
    """Figure 8 at the start of (c): 1 led term 2 and 5 led term 3, and both were cut off early.

    Appends carry one run each. Of what is said among `talking`, everything arrives but what `censor` forbids.
    """

    def __init__(self) -> None:
        one_run = Config(member=ONE, voters=(ONE,), incarnation=0, max_append_bytes=1)
        logs = ("1/1 2/2", "1/1 2/2", "1/1", "1/1", "1/1 3/2")
        self.cluster = Cluster(5, half, one_run, {MemberId(n + 1): disk(log, 3) for n, log in enumerate(logs)})

    def talk(self, *talking: MemberId, censor: Callable[[Message], bool] = lambda _: False) -> None:
        """Let messages arrive and disks work until nothing moves."""
        cluster = self.cluster
        while cluster.wire or any(one.disk.queue for one in cluster.members.values()):
            letters, cluster.wire = list(cluster.wire), []
            for letter in letters:
                if {letter.sender, letter.to} <= set(talking) and not censor(letter.message):
                    cluster.deliver(letter)
            for number in cluster.members:
                while cluster.members[number].disk.queue:
                    cluster.write(number)
                    cluster.answer(number)
                cluster.end_turn(number)

    def stand(self, number: MemberId, *voters: MemberId) -> Raft:
        """Let a member stand, long after anybody heard from a leader; only these can hear it."""
        raft = self.cluster.alive[number]
        for _ in range(2):  # the first time it may only learn which term it is
            if not raft.is_leader:
                self.cluster.now += 10
                raft.role.on_time(raft, self.cluster.now)
                self.cluster.end_turn(number)
                self.talk(number, *voters, censor=lambda message: isinstance(message, Append))
        return raft

    def beat(self, raft: Raft, *others: MemberId, censor: Callable[[Message], bool] = lambda _: False) -> None:
        """One heartbeat of a leader, and all that follows from it."""
        self.cluster.now = raft.next_deadline()
        self.cluster.advance(raft.member)
        self.cluster.end_turn(raft.member)
        self.talk(raft.member, *others, censor=censor)

    def logs(self) -> list[str]:
        return [show_log(raft) for raft in self.cluster.alive.values()]


def carries_term_4(message: Message) -> bool:
    return isinstance(message, Append) and any(run.term == 4 for run in message.runs)


def test_figure_8_d_an_old_run_that_a_majority_holds_may_still_be_replaced() -> None:
    """Figure 8 (c), (d): the witness raises if 1 commits index 2, which 5 then replaces everywhere."""
    play = FigureEight()

    first = play.stand(ONE, TWO, THREE)
    assert first.is_leader
    play.beat(first, TWO, THREE, censor=carries_term_4)
    assert play.logs() == ["1/1 2/2 4/3", "1/1 2/2", "1/1 2/2", "1/1", "1/1 3/2"]
    assert first.commit_index == 0

    play.cluster.crash(ONE)
    fifth = play.stand(FIVE, TWO, THREE, FOUR)
    assert fifth.is_leader
    play.beat(fifth, TWO, THREE, FOUR)

    assert play.logs() == ["1/1 3/2 5/3"] * 4
    assert play.cluster.committed == 3


def test_figure_8_e_a_run_of_the_leaders_own_term_protects_those_before_it() -> None:
    """Figure 8 (e): once 4/3 is on a majority, 5 cannot win any more, and 2/2 is committed for good."""
    play = FigureEight()

    first = play.stand(ONE, TWO, THREE)
    play.beat(first, TWO, THREE)
    assert play.cluster.committed == 3

    play.cluster.crash(ONE)
    fifth = play.stand(FIVE, TWO, THREE, FOUR)

    assert not fifth.is_leader
    assert play.logs() == ["1/1 2/2 4/3", "1/1 2/2 4/3", "1/1", "1/1 3/2"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_what_is_agreed_is_the_highest_that_a_majority_has_reached(reached: list[int]) -> None:
    """The definition, tried on everything small."""
    majority = len(reached) // 2 + 1

    expected = max(value for value in reached if sum(other >= value for other in reached) >= majority)

    assert agreed(reached) == expected
