"""Consensus on opaque bytes: Raft as in the paper and Ongaro's thesis, without I/O, clock or chance.

The contract
------------
A driver owns one `Raft` and steps it in turns. A turn is any number of inputs, `advance_time` first, and then
`take_ready` once. Inputs never block and never call back. `now` is a local monotonic clock in seconds; it
never goes backwards, and is read after the inputs of the turn have arrived (`lease` relies on that).

    advance_time(now)                 at the latest when next_deadline() is reached
    step(sender, message, now)        from a peer; may be lost, late, repeated or out of order, but never
                                      garbled (`decode_message` sees to that) and never from a stranger
    persisted(token, now)             the disk has done everything up to the Persist with this token
    propose(data, count, now)         on a leader; see can_propose
    read_index(request, now)          on any member
    peer_lost, peer_up(member, now)   what the transport sees: hints that save time; nothing relies on them
    transfer_leadership(now, to)      before a leader is stopped
    change_members(configuration, now)    on a leader; one change at a time
    snapshot_saved(place)             a snapshot of our own state is durable
    compact(index)                    forget in memory what a snapshot holds
    install(place, membership)        take over a leader's snapshot

What the driver owes for a `Ready`
----------------------------------
1. **messages** may leave at once, in any order relative to the rest, and may get lost. Raft itself holds back
   whatever would promise something that is not durable yet: votes, a candidacy, acks of appends. So the
   leader's appends travel while it writes its own disk (thesis §10.2.1), and it counts itself only when
   `persisted` says so.
2. **persist** goes to the disk in the order of its token: first the hard state, then the truncation or the
   restart, then the runs. Of what is not answered, a crash may leave any prefix. When it is durable, hand the token to
   `persisted`; one call may answer several. A write that fails must stop the process: there is no way to take
   a promise back.
3. **committed** runs are applied now, in order. Each comes once in the life of a `Raft`; after a restart those
   that follow the snapshot (`Stored.snapshot`) come again. They may be ahead of this member's own disk.
4. **reads** may be answered from a state that has applied their index.
5. **notices** leave when everything else is done: only peers that wait for nobody here need them.
6. **happened** is for logs and metrics.

A long committed log comes in slices of `Config.max_committed_entries`; `next_deadline` is in the past until
all of it is taken, so that messages get their turn in between.

After a crash, build a new `Raft` from what the disk has (`Stored`): the last hard state, and all runs in
order. `Config.incarnation` must then be higher than in any life before.

Snapshots
---------
A snapshot is the state at a `Place`, a boundary between runs that is committed. Raft knows places only; what a
snapshot holds, and how it is written and travels, is the driver's business. It takes one whenever it likes, of what
it has applied, and says `snapshot_saved` when it is durable, with its name. Only then may what it holds be forgotten:
in memory with `compact`, on the disk without a word to Raft.

A peer that needs what its leader has forgotten is offered the leader's newest snapshot, with every heartbeat. It
finds the offer in `Follower.offer`, for as long as it stands; a later one may name a newer place. Its driver

1. fetches the snapshot from that leader, and makes it durable;
2. loads the state, beside the machine that still serves;
3. calls `install` in a turn of its own. If that returns False, the state is of no use any more: drop it. If True,
   the loaded state takes the machine's place before anything in `committed` of this turn is applied to it.

The log that did not lead there is dropped with the `Persist` of the same turn (`restart_at`: every run goes, on the
disk too, and the log goes on after that place). Until it is durable the peer acknowledges nothing. A crash between
the two leaves a snapshot that the log does not hold, because it ends before or has another run there. What is
committed is right: recovery restarts such a log at the snapshot's place, before it builds `Stored`. It does the
same when the log's writes were behind a snapshot of our own state.

Members
-------
The configuration says who they are. A leader changes it when it is told to (`change_members`); whom to add when, and
who is good enough for a vote, is the business of the driver, who sees in `Leader.progress` how far each of them is.
Members learn of it from the log and use it from then on, before it is committed. A run that `is_configuration` comes
out of `committed` like any other.

Who has no vote never stands for leader, unless it had one until a change that it does not know to be decided: then it
may be needed to see that through (thesis §4.2.2). But it gives its vote to whoever asks, for it may have one by now
without knowing it. That is safe only from somebody who forgets nothing: messages of a member that comes back with an
empty disk must not be delivered.

Glossary
--------
run             entries proposed together: the unit of log, messages and disk (types)
term            at most one leader each; a clock of leaderships (paper §5.1)
commit_index    everything up to it is decided for ever
durable_index   everything up to it is on this disk (log)
match_index     everything up to it is equal to the leader's log; of a peer: and on its disk (progress)
round           a number that goes out with Appends and comes back with their answers (messages, reads)
place           a boundary between runs, where a snapshot can stand; the log begins at one (types)
behind          of a peer: it needs runs that the leader's log does not hold any more (progress)
turn, ready     inputs in, then what to do about them out

Where to look: the rules for all servers are in `server`, the others in the file of their role, `follower`,
`candidate` or `leader`; linearizable reads in `reads` and `lease`; what must always hold, in `invariants`.
"""

from .codec import MalformedMessage, decode_message, encode_message
from .config import Config
from .configuration import NOBODY, UNTOLD, ChangeUnderWay, Configuration, Membership, Seat
from .messages import Message
from .ready import Persist, ReadReady, Ready
from .server import Raft
from .stored import Stored
from .types import HardState, Index, MemberId, NotLeader, Place, Run, Term

__all__ = [
    "NOBODY",
    "UNTOLD",
    "ChangeUnderWay",
    "Config",
    "Configuration",
    "HardState",
    "Index",
    "MalformedMessage",
    "MemberId",
    "Membership",
    "Message",
    "NotLeader",
    "Persist",
    "Place",
    "Raft",
    "ReadReady",
    "Ready",
    "Run",
    "Seat",
    "Stored",
    "Term",
    "decode_message",
    "encode_message",
]
