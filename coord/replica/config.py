"""What a replica must be told. All durations in seconds; the limits say what they protect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from coord.raft.config import Config as RaftConfig
from coord.replica.snapshot_work import PIECE_BYTES
from coord.tree.levels import LEVEL

MAX_FRAME_BYTES = 1_048_575  # ZooKeeper's jute.maxbuffer default (0xfffff), as clients expect

# A run is applied in one go, at about 4 µs a command, and travels in one piece: one of this size holds the loop for a
# few milliseconds at most.
MAX_RUN_BYTES = 512 * 1024

# Commands of our own clients that are not applied yet. Past this we stop reading from clients until the log catches up;
# it holds a second of writes at full speed, far more than a healthy cluster ever has under way.
MAX_OUTSTANDING_BYTES = 16 * 1024 * 1024


# A snapshot is begun when so many bytes of the log were applied since the last one, or as many as that one has, if it
# is larger. With it the log on disk is bounded: by twice that, a segment of 64 MiB at each end, and what is written
# while a snapshot is on its way to the disk.
SNAPSHOT_LOG_BYTES = 64 * 1024 * 1024

# Of the log before the newest snapshot, what stays in memory: a member that missed no more than this gets the entries
# that it lacks, and not a whole snapshot.
RETAINED_LOG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    raft: RaftConfig

    client_address: str = ""
    """`host:port` that clients should use to reach this server; published in /zookeeper/config."""

    peer_address: str = ""
    """`host:port` where other members reach it; published there, too. Empty in a cluster of one."""

    directory_id: int = 0
    """Of this member's data directory; by it the others know that it has forgotten nothing."""

    level: int = LEVEL
    """The highest level that this release knows; a lower one makes it behave as an earlier release, for tests."""

    tick: float = 0.1
    """Keep-alives gather this long into one log entry; a ping is answered a tick later at the most."""

    min_session_timeout: float = 2.0
    max_session_timeout: float = 60.0
    """What clients may negotiate. ZooKeeper's own default is 4 to 40 s (2 to 20 of its ticks)."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    max_outstanding_bytes: int = MAX_OUTSTANDING_BYTES

    super_digest: str = ""
    """`super:base64(sha1("super:password"))`: whoever proves to know it passes every ACL and is an operator. Empty:
    nobody can; then clients from this very machine are operators."""

    sasl_users: Mapping[str, str] = field(default_factory=dict)
    """Passwords by name of those who may authenticate by SASL. Empty: SASL is off."""

    change_patience: float = 60.0
    """A member that is to get a vote, and does not come on for so long, is given up."""

    reconfig: bool = False
    """Whether ZooKeeper's `reconfig` is served: off as there; our own requests always are."""

    handshake_deadline: float = 10.0
    """A connection that has not sent its first request by then is closed."""

    resend_after: float = 1.0
    """Commands that the leader has not answered for this long are sent again; duplicates are dropped at apply."""

    snapshot_log_bytes: int = SNAPSHOT_LOG_BYTES
    retained_log_bytes: int = RETAINED_LOG_BYTES
    snapshot_piece_znodes: int = 1500
    """What of a snapshot is encoded in one turn: about a millisecond of work."""

    snapshot_piece_bytes: int = PIECE_BYTES

    snapshot_piece_pause: float = 0.01
    """Seconds from the beginning of one such turn to the next. Each piece wakes the thread that writes it, which shares
    the interpreter with the loop: few and large ones cost less than many (with a million znodes, 500 every 2 ms took
    28 % of the rate of 64 writers, for 5 s; 1,500 every 10 ms take less than 20 %, for 7 s; measured)."""

    @property
    def max_clock_step(self) -> float:
        """The most that the lease clock moves between two looks of the leader at its own: whoever looked less often
        than every third heartbeat was not awake, and nobody's lease runs meanwhile."""
        return 3 * self.raft.heartbeat_interval
