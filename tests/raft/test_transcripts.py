"""Golden transcripts: who says what to whom, line by line, in the plays that everything else is made of.

The expected texts are the files in `transcripts/`. To accept a change, delete the file, run the test, which
writes it and fails, and read the difference before you commit it.
"""

from pathlib import Path

from coord.raft import MemberId

from .script import Play

FOLDER = Path(__file__).parent / "transcripts"


def check(play: Play, name: str) -> None:
    path = FOLDER / f"{name}.txt"
    if not path.exists():
        path.write_text(play.transcript)
        raise AssertionError(f"there was no {path}: it is written now, read it")
    assert play.transcript == path.read_text()


def propose(play: Play, leader: int, count: int = 1) -> None:
    play.note(f"{leader} proposes {count}")
    play.cluster.propose(MemberId(leader), count)
    play.turn(leader)


def test_three_members_elect_the_first_that_asks() -> None:
    """§5.2, thesis §9.6: pre-votes, then votes that are durable before they are sent, then a no-op."""
    play = Play()
    play.clock(1)
    play.settle()
    check(play, "election")


def test_one_member_elects_itself_as_soon_as_its_vote_is_durable() -> None:
    """A cluster of one waits for nobody but its disk."""
    play = Play(size=1)
    play.settle()
    propose(play, 1)
    play.settle()
    check(play, "alone")


def test_leader_replicates_and_lets_everybody_know_what_is_committed() -> None:
    """§5.3: appends go out while the leader's disk works; the commit index follows at once, unanswered."""
    play = Play()
    play.elect(1)
    propose(play, 1, count=3)
    play.settle()
    play.clock(1)
    play.settle()
    check(play, "replication")


def test_lost_leader_is_replaced_when_its_connections_break() -> None:
    """A reset connection counts as silence: the first to notice asks, and the other has noticed as well."""
    play = Play()
    play.elect(1)
    play.note("1 dies; 2 and 3 see their connections break")
    play.cluster.crash(MemberId(1))
    for number in (2, 3):
        play.cluster.lose_connection(MemberId(number), MemberId(1))
        play.turn(number)
    play.clock(2)
    play.settle()
    check(play, "lost_leader")


def test_member_that_missed_the_leader_disturbs_nobody() -> None:
    """Thesis §9.6, §4.2.3: who hears the leader would not vote; the term stays, and so does the leader."""
    play = Play()
    play.elect(1)
    play.note("what 1 says to 3 is lost")
    play.cut = {(1, 3)}
    play.beat(1, until=play.cluster.alive[MemberId(3)].next_deadline())
    play.clock(3)
    play.settle()
    play.note("the link works again")
    play.cut = set()
    play.clock(1)
    play.settle()
    check(play, "stickiness")


def test_logs_that_parted_are_made_equal() -> None:
    """§5.3: what only the old leader has goes, what the new one committed comes, in one step back."""
    play = Play()
    play.elect(1)
    play.note("1 is cut off and proposes in vain")
    play.cut = {(1, 2), (1, 3), (2, 1), (3, 1)}
    propose(play, 1, count=2)
    propose(play, 1)
    play.settle()
    play.cluster.lose_connection(MemberId(2), MemberId(1))
    play.cluster.lose_connection(MemberId(3), MemberId(1))
    play.turn(3)
    play.turn(2)
    play.clock(2)
    play.settle()
    propose(play, 2, count=4)
    play.settle()
    play.note("1 is back")
    play.cut = set()
    play.clock(2)
    play.settle()
    check(play, "conflict")


def test_leader_hands_over_when_the_target_has_everything() -> None:
    """Thesis §3.10: the target campaigns at once, without pre-vote, and the others do not mind."""
    play = Play()
    play.elect(1)
    play.note("1 proposes, and hands over in the same turn")
    play.cluster.propose(MemberId(1))
    play.cluster.alive[MemberId(1)].transfer_leadership(play.cluster.now)
    play.turn(1)
    play.settle()
    check(play, "transfer")


def test_reads_of_a_turn_share_a_round() -> None:
    """Thesis §6.4: two reads at a follower and one at the leader take one question and one round."""
    play = Play()
    play.elect(1)
    play.note("3 is asked for two reads, 1 for one")
    for number in (3, 3, 1):
        play.cluster.read(MemberId(number))
    play.turn(3)
    play.settle()
    check(play, "reads")
