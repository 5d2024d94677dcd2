"""The end of a cluster: all power fails at once, in the middle of the faults; some disks are lost, and a new cluster is
made of those that are left, as `coord recover` does it. Then that one lives on.

What must hold: the directories that are left are sound; a majority of them has everything that anybody was told of,
fewer have a beginning of the same history; and the new cluster numbers on from above all that was ever shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from coord.backup.founding import NewMember, found, load
from coord.backup.progress import unwatched
from coord.backup.survivors import Survivor, losses, most_up_to_date
from coord.raft.types import BEGINNING, MemberId, Place
from coord.sim.cluster import Cluster
from coord.sim.disk import Platter, PowerLost, VirtualFiles
from coord.sim.faults import Fault, Kill
from coord.sim.invariants import Invariants
from coord.sim.operator import address_of
from coord.sim.verdict import Violation
from coord.tree.machine import Machine
from coord.tree.rebirth import Reborn

LIVES_ON = 3.0
"""Seconds in which the new cluster has faults of its own."""

KILLS = 3

MAX_CALLS = 40
"""To the disk, that a directory takes to be made: the power may fail at any of them."""

FOUNDED_MS = 1_800_000_000_000


class Beginning(NamedTuple):
    """What a new cluster begins with."""

    place: Place
    disks: Mapping[MemberId, Platter]

    @classmethod
    def nothing(cls) -> "Beginning":
        return cls(BEGINNING, {})


@dataclass(slots=True)
class Rebirth:
    """Of the cluster that `invariants` have watched."""

    cluster: Cluster
    invariants: Invariants

    def carry_out(self) -> Beginning:
        cluster, chance = self.cluster, self.cluster.chance
        for server in cluster.servers.values():
            server.kill(loses_power=True)
        left = [server for server in cluster.present() if server.boots and not server.is_lost]
        left = chance.sample(left, chance.randint(1, len(left)))
        survivors = [Survivor(VirtualFiles(server.platter, f"/server-{server.member}")) for server in left]
        best = most_up_to_date(survivors)
        machine = load(best, unwatched)
        self._check_history(best, machine, is_complete=losses(survivors, machine).is_complete)
        shown = max(self.invariants.frontier, machine.applied_index)
        if machine.cluster is None:
            return Beginning.nothing()  # nothing was ever acknowledged
        before = {path: znode.creates for path, znode in machine.znodes.items()}
        disks, reborn, machine = self._found(best)
        self._check_numbers(machine, reborn, shown, before)
        for survivor in survivors:
            survivor.close()
        cluster.trace.mark("cluster made of what was left")
        return Beginning(reborn.place, disks)

    def _check_history(self, best: Survivor, machine: Machine, *, is_complete: bool) -> None:
        for run in best.runs():
            if is_complete and run.last <= self.invariants.frontier and not self.invariants.has_committed(run):
                raise Violation("what is left is the history", f"{best.directory} has another run at {run.first}")
        if is_complete and best.end.index < self.invariants.frontier:
            raise Violation(
                "a majority of disks has all that was acknowledged",
                f"{best.directory} has most, up to {best.end.index}; {self.invariants.frontier} was applied",
            )
        if best.end.index <= self.invariants.frontier:
            self.invariants.check_digest(best.member, machine)

    def _found(self, best: Survivor) -> tuple[dict[MemberId, Platter], Reborn, Machine]:
        """Each member's directory, by a command of its own, during which the power may fail; and the state in them."""
        chance, segment_bytes = self.cluster.chance, self.cluster.profile.machinery.segment_bytes
        members = {MemberId(number): address_of(MemberId(number)) for number in range(1, chance.choice((1, 3, 3)) + 1)}
        disks: dict[MemberId, Platter] = {}
        made: list[Reborn] = []
        while len(disks) < len(members):
            member = MemberId(len(disks) + 1)
            platter = Platter(chance)
            files = VirtualFiles(platter, f"/new-{member}")
            files.trouble.calls_until_power_loss = chance.choice((None, chance.randint(0, MAX_CALLS)))
            machine = load(best, unwatched)
            new = NewMember(member, members, FOUNDED_MS, chance.getrandbits(63))
            try:
                made.append(found(machine, best, new, files, unwatched, segment_bytes))
            except PowerLost:
                files.die()
                self.cluster.trace.mark("power lost while a directory was made")
            else:
                files.settle()
                disks[member] = platter
        if len({(reborn.place, reborn.chain, reborn.cluster.id) for reborn in made}) != 1:
            raise Violation("members of a new cluster begin alike", f"{made}")
        return disks, made[-1], machine

    def _check_numbers(self, machine: Machine, reborn: Reborn, shown: int, before: Mapping[str, int]) -> None:
        if reborn.place.index <= shown:
            raise Violation("numbers go on from above", f"index {reborn.place.index}, and {shown} was shown")
        for path, creates in before.items():
            znode = machine.znodes.get(path)
            if znode is not None and znode.creates <= creates:
                raise Violation("numbers go on from above", f"{path} counts from {znode.creates}, after {creates}")


def faults_of_a_second_life(cluster: Cluster) -> list[Fault]:
    now, chance = cluster.timeline.now, cluster.chance
    kills = [chance.uniform(0.5, LIVES_ON) for _ in range(KILLS)]
    return [Kill(now + at, chance.randint(1, 3), 0.3, loses_power=True, point=None, doom=None) for at in kills]
