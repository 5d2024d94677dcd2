"""The network between members, in both of its kinds."""

from collections.abc import Callable
from random import Random

import pytest

from coord.raft.configuration import NOBODY, Configuration, Membership, Seat
from coord.raft.types import Index, MemberId
from coord.sim.clock import Timeline
from coord.sim.links import Links, Weather
from coord.sim.trace import Trace
from coord.transport.handshake import Standpoint
from coord.transport.links import FAREWELL_SECONDS

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


FOUNDERS = Membership(
    Index(0),
    Configuration((ONE, TWO, THREE), seats=tuple(Seat(member, "", 100 + member) for member in (ONE, TWO, THREE))),
)


class Recorder:
    """A member that only writes down what the network shows it."""

    def __init__(self, member: MemberId, membership: Membership = FOUNDERS, directory: int = 0) -> None:
        self.standpoint = Standpoint(member, 1, directory or 100 + member, 0, membership, lambda member: 0)
        self.frames: list[bytes] = []
        self.hints: list[tuple[str, int]] = []
        self.greeted: list[int] = []

    def frame(self, sender: MemberId, frame: bytes) -> None:
        self.frames.append(frame)

    def linked(self, member: MemberId) -> None:
        self.greeted.append(member)

    def peer_up(self, member: MemberId) -> None:
        self.hints.append(("up", member))

    def peer_lost(self, member: MemberId) -> None:
        self.hints.append(("lost", member))


class Network:
    def __init__(self, weather: Weather, seed: int = 0) -> None:
        self.timeline = Timeline()
        self.links = Links(self.timeline, Random(seed), Trace(), weather)
        self.members = {member: Recorder(member) for member in (ONE, TWO, THREE)}
        for member, recorder in self.members.items():
            self.links.plug(member, recorder)
        self.wait()

    def wait(self, seconds: float = 1.0) -> None:
        self.timeline.run(until=self.timeline.now + seconds)

    def send(self, count: int, first: int = 0) -> list[bytes]:
        """From one to two; returns what was sent."""
        frames = [bytes([number]) for number in range(first, first + count)]
        for frame in frames:
            self.links.send(ONE, TWO, frame)
        return frames


def test_stream_delivers_all_in_order() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01, spike=0.3))

    sent = network.send(100)
    network.wait()

    assert network.members[TWO].frames == sent
    assert sorted(network.members[TWO].hints) == [("up", 1), ("up", 3)]


def test_packets_are_lost_repeated_and_overtaken() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01, loss=0.2, duplicate=0.2, overtake=0.5))

    sent = network.send(200)
    network.wait()

    got = network.members[TWO].frames
    assert 0 < len(set(sent) - set(got)) < 100
    assert len(got) > len(set(got))
    assert got != sorted(got)


def test_frames_wait_behind_a_cut_that_holds_and_keep_their_order() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01))
    before = network.send(20)
    network.timeline.run(until=network.timeline.now + 0.015)
    network.links.cut(ONE, TWO, holds=True)
    behind = network.send(20, first=20)
    network.wait()
    assert len(network.members[TWO].frames) < 20

    network.links.heal(ONE, TWO)
    after = network.send(20, first=40)
    network.wait()

    assert network.members[TWO].frames == before + behind + after
    assert ("lost", 1) not in network.members[TWO].hints


def test_cut_that_breaks_loses_frames_and_tells_both_ends() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01))
    network.links.cut(ONE, TWO, holds=False)
    network.send(5)
    network.wait()

    network.links.heal(ONE, TWO)
    network.wait()
    after = network.send(5, first=5)
    network.wait()

    assert network.members[TWO].frames == after
    assert network.members[ONE].hints[-2:] == [("lost", 2), ("up", 2)]
    assert network.members[TWO].hints[-2:] == [("lost", 1), ("up", 1)]


def test_cut_of_one_direction_leaves_the_other() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01))
    network.links.cut(TWO, ONE, holds=True)

    sent = network.send(3)
    network.links.send(TWO, ONE, b"unheard")
    network.wait()

    assert network.members[TWO].frames == sent
    assert network.members[ONE].frames == []


def test_overlapping_cuts_heal_with_the_last() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01))
    network.links.cut(ONE, TWO, holds=True)
    network.links.cut(ONE, TWO, holds=True)
    sent = network.send(1)

    network.links.heal(ONE, TWO)
    network.wait()
    assert network.members[TWO].frames == []

    network.links.heal(ONE, TWO)
    network.wait()
    assert network.members[TWO].frames == sent


def test_last_words_of_a_dead_member_arrive_before_the_news_of_its_death() -> None:
    network = Network(Weather(delay=0.01, slowest=0.01))
    order: list[str] = []
    recorder = network.members[TWO]
    recorder.frame = lambda sender, frame: order.append("frame")  # type: ignore[method-assign]
    recorder.peer_lost = lambda member: order.append("lost")  # type: ignore[method-assign]

    network.send(3)
    network.links.unplug(ONE)
    network.wait()

    assert order == ["frame", "frame", "frame", "lost"]


@pytest.mark.parametrize(
    "hurt",
    [
        lambda links: links.cut(ONE, TWO, holds=True),
        lambda links: links.cut(ONE, TWO, holds=False),
        lambda links: links.break_connection(ONE, TWO),
        lambda links: links.unplug(THREE),
    ],
    ids=["hold", "break by cut", "break", "death of another"],
)
def test_everything_passes_again_after_healing(hurt: Callable[[Links], None]) -> None:
    network = Network(Weather(delay=0.01, slowest=0.01))
    hurt(network.links)
    network.wait(0.1)

    network.links.heal_all(Weather())
    network.wait()
    sent = network.send(3)
    network.wait()

    assert network.members[TWO].frames[-3:] == sent


# Who is linked to whom


def membership(index: int, *members: MemberId, directories: int = 100) -> Membership:
    seats = tuple(Seat(member, "", directories + member) for member in members)
    return Membership(Index(index), Configuration(members, seats=seats))


def links_of(network: Network, member: MemberId) -> set[int]:
    return set(network.members[member].greeted)


def replace(network: Network, recorder: Recorder) -> None:
    network.links.unplug(TWO)
    network.wait()
    network.members[TWO] = recorder
    network.links.plug(TWO, recorder)
    network.wait()


def test_who_comes_with_another_directory_is_not_linked() -> None:
    network = Network(Weather())
    replace(network, Recorder(TWO, directory=999))
    assert not links_of(network, TWO)

    replace(network, Recorder(TWO))
    assert links_of(network, TWO) == {ONE, THREE}


@pytest.mark.parametrize("weather", [Weather(), Weather(overtake=0.5)], ids=["stream", "packets"])
def test_newcomer_is_linked_when_the_members_learn_of_it(weather: Weather) -> None:
    network = Network(weather)
    four = MemberId(4)
    network.members[four] = Recorder(four, Membership(Index(0), NOBODY))
    network.links.plug(four, network.members[four])
    network.wait()
    network.links.send(four, ONE, b"unheard")
    network.wait()
    assert not links_of(network, four)
    assert not network.members[ONE].frames

    network.members[ONE].standpoint = replace_membership(network, ONE, membership(7, ONE, TWO, THREE, four))
    network.links.members_changed(ONE)
    network.wait()
    network.links.send(four, ONE, b"heard")
    network.wait()
    assert links_of(network, four) == {ONE}
    assert network.members[ONE].frames == [b"heard"]


def replace_membership(network: Network, member: MemberId, now: Membership) -> Standpoint:
    old = network.members[member].standpoint
    return Standpoint(member, old.incarnation, old.directory, old.cluster, now, old.directory_of)


def test_links_to_former_members_end_after_a_while() -> None:
    network = Network(Weather())
    network.members[ONE].standpoint = replace_membership(network, ONE, membership(7, ONE, THREE))
    network.links.members_changed(ONE)
    network.wait(FAREWELL_SECONDS / 2)
    last_words = network.send(1)
    network.wait(FAREWELL_SECONDS)
    assert network.members[TWO].frames == last_words
    assert ("lost", 1) in network.members[TWO].hints

    network.send(1)
    network.wait()
    assert network.members[TWO].frames == last_words


def test_packets_of_a_directory_that_is_gone_never_arrive() -> None:
    network = Network(Weather(delay=3.0, slowest=3.0, overtake=0.1))
    network.links.send(TWO, ONE, b"of its former life")
    for member in (ONE, THREE):
        network.members[member].standpoint = replace_membership(
            network, member, membership(9, ONE, TWO, THREE, directories=200)
        )
    # Only what it knew of TWO counts here; ONE and THREE keep theirs.
    replace(network, Recorder(TWO, membership(9, ONE, TWO, THREE), directory=202))
    network.wait(30.0)

    assert links_of(network, TWO) == {ONE, THREE}
    assert network.members[ONE].frames == []
