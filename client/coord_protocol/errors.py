"""Everything that can go wrong, as one tree that server and client share.

    CoordError
    ├── ApiError(definite)              the server answered: it did not happen
    │   ├── NoNode  NodeExists  BadVersion  NotEmpty  InvalidAcl  BadArguments
    │   ├── NoAuth                      an ACL forbids it; NotOperator: only operators may, and the text says who is
    │   ├── NoChildrenForEphemerals  NotReadOnly  NoWatcher  AuthFailed  QuotaExceeded
    │   ├── MarshallingError            a request that does not decode; every decoder raises it
    │   ├── SessionMoved  UnknownSession  EphemeralOnLocalSession  SessionRequiresSasl
    │   ├── Unimplemented  ThrottledOp  RequestTimeout (not definite)
    │   ├── ReconfigDisabled  ReconfigInProgress  NewConfigNoQuorum
    │   ├── SystemFault  RuntimeInconsistency  DataInconsistency
    │   └── ExtensionError              answers to extension requests: NotLeader  NoLease  ChangeRefused
    ├── ConnectionLost(not definite)    it may have happened: read before you retry
    ├── OperationTimeout(not definite)  no answer in the time the caller gave
    ├── SessionExpired                  ephemerals and locks are gone
    ├── ClientClosed                    the client was closed while, or before, the call ran
    ├── ExtensionUnavailable            a plain ZooKeeper answers: it cannot know this request
    ├── WatchOverflow                   events came faster than they were taken; some are lost
    ├── LockError
    │   ├── LockTimeout                 not won in the time given; no contender is left behind
    │   ├── NoCandidate                 nobody of that name stands for election
    │   ├── PermitsDiffer               a semaphore that others use with another number of permits
    │   └── LockLost                    the body was cancelled: the right ended before it did
    ├── LeaseLost                       likewise: the lease ended before the body did
    ├── StaleToken                      a resource has seen a newer holder than the one who asks
    └── ProtocolError                   a bug on one side
        ├── LocalProtocolError          ours: the call was wrong
        └── RemoteProtocolError         theirs: bytes that no correct peer sends
            └── FrameTooLarge           a length that is negative or above the limit

Who catches what. Callers of operations catch single `ApiError`s where they expect them (`NoNode` after a
read) and let the rest go up. Whoever wants to retry asks `error.definite`: True means that the request had no
effect, False that it may have had one. The end of a right (`SessionExpired`, `LockLost`, `LeaseLost`) is for the
scope that owns it, not for single calls. `ProtocolError` is for nobody: it closes the connection, and its text
belongs into a report.
"""

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """Error codes as the wire carries them (ZooKeeper's `KeeperException.Code`; ours from -1000 down)."""

    OK = 0
    SYSTEM_ERROR = -1
    RUNTIME_INCONSISTENCY = -2
    DATA_INCONSISTENCY = -3
    CONNECTION_LOSS = -4
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    OPERATION_TIMEOUT = -7
    BAD_ARGUMENTS = -8
    UNKNOWN_SESSION = -12
    NEW_CONFIG_NO_QUORUM = -13
    RECONFIG_IN_PROGRESS = -14
    API_ERROR = -100
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_CALLBACK = -113
    INVALID_ACL = -114
    AUTH_FAILED = -115
    SESSION_MOVED = -118
    NOT_READ_ONLY = -119
    EPHEMERAL_ON_LOCAL_SESSION = -120
    NO_WATCHER = -121
    REQUEST_TIMEOUT = -122
    RECONFIG_DISABLED = -123
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124
    QUOTA_EXCEEDED = -125
    THROTTLED_OP = -127

    EXTENSION_ERROR = -1000
    NOT_LEADER = -1001
    NO_LEASE = -1010
    NOT_OPERATOR = -1011
    CHANGE_REFUSED = -1012


class CoordError(Exception):
    """Root of the tree. `code` is what the wire carries for it."""

    code: Code = Code.SYSTEM_ERROR
    definite: bool = False
    """True: the request had no effect. False: it may have had one; read before you retry."""


class ApiError(CoordError):
    """The server answered with an error: what was asked did not happen."""

    code = Code.API_ERROR
    definite = True
    summary = "the server refused the request"

    op_index: int | None = None
    """Which operation of a transaction was refused, counted from 0; None outside of transactions."""

    def __init__(self, path: str = "", detail: str = "") -> None:
        text = f"{self.summary}: {detail}" if detail else self.summary
        super().__init__(f"{path}: {text}" if path else text)
        self.path = path


class SystemFault(ApiError):
    """A server failed in a way that has no code of its own."""

    code = Code.SYSTEM_ERROR
    summary = "the server failed"


class RuntimeInconsistency(ApiError):
    """Also the code of every operation of a transaction after the one that was refused."""

    code = Code.RUNTIME_INCONSISTENCY
    summary = "not tried, because an earlier operation was refused"


class DataInconsistency(ApiError):
    """The server found its own data in disagreement."""

    code = Code.DATA_INCONSISTENCY
    summary = "the server's data disagrees with itself"


class MarshallingError(ApiError):
    """Bytes that do not form the record they should.

    Raised by every decoder, and by encoders for values out of range.
    """

    code = Code.MARSHALLING_ERROR
    summary = "not a well-formed record"


class Unimplemented(ApiError):
    """The server does not know this request, or has it switched off. It closes the connection afterwards."""

    code = Code.UNIMPLEMENTED
    summary = "the server does not implement this"


class BadArguments(ApiError):
    """A path, flag or length that can never be right."""

    code = Code.BAD_ARGUMENTS
    summary = "bad arguments"


class UnknownSession(ApiError):
    """The server has never heard of the session."""

    code = Code.UNKNOWN_SESSION
    summary = "unknown session"


class NewConfigNoQuorum(ApiError):
    """A reconfiguration whose new members are not up to date enough to form a quorum."""

    code = Code.NEW_CONFIG_NO_QUORUM
    summary = "no quorum of the new configuration is up to date"


class ReconfigInProgress(ApiError):
    """Another reconfiguration is running; try again later."""

    code = Code.RECONFIG_IN_PROGRESS
    summary = "another reconfiguration is in progress"


class NoNode(ApiError):
    """The znode, or the parent it needs, does not exist."""

    code = Code.NO_NODE
    summary = "no such znode"


class NoAuth(ApiError):
    """The connection's identities lack the permission."""

    code = Code.NO_AUTH
    summary = "not permitted by the znode's ACL"


class NotOperator(NoAuth):
    """Only an operator may do this; the text says what makes one."""

    code = Code.NOT_OPERATOR
    summary = "only for operators"


class BadVersion(ApiError):
    """Somebody changed the znode since its version was read."""

    code = Code.BAD_VERSION
    summary = "the znode has another version"


class NoChildrenForEphemerals(ApiError):
    """An ephemeral znode cannot have children."""

    code = Code.NO_CHILDREN_FOR_EPHEMERALS
    summary = "an ephemeral znode cannot have children"


class NodeExists(ApiError):
    """The znode is there already."""

    code = Code.NODE_EXISTS
    summary = "the znode exists already"


class NotEmpty(ApiError):
    """The znode has children, so it cannot be deleted."""

    code = Code.NOT_EMPTY
    summary = "the znode has children"


class InvalidCallback(ApiError):
    """A code of other clients; no server sends it."""

    code = Code.INVALID_CALLBACK
    summary = "invalid callback"


class InvalidAcl(ApiError):
    """The ACL is empty, or names a scheme or id that means nothing to the server."""

    code = Code.INVALID_ACL
    summary = "invalid ACL"


class AuthFailed(ApiError):
    """The credentials were refused. The server closes the connection afterwards."""

    code = Code.AUTH_FAILED
    summary = "authentication failed"


class SessionMoved(ApiError):
    """The session has a newer connection; this one may not write any more."""

    code = Code.SESSION_MOVED
    summary = "the session has moved to another connection"


class NotReadOnly(ApiError):
    """A write on a server that only reads, because it is cut off from its quorum."""

    code = Code.NOT_READ_ONLY
    summary = "the server is read-only for now"


class EphemeralOnLocalSession(ApiError):
    """A session that only one server knows cannot own znodes."""

    code = Code.EPHEMERAL_ON_LOCAL_SESSION
    summary = "a local session cannot own ephemeral znodes"


class NoWatcher(ApiError):
    """There was no such watch to remove."""

    code = Code.NO_WATCHER
    summary = "no such watch"


class RequestTimeout(ApiError):
    """The server gave up waiting for its quorum: the one answer that leaves the outcome open."""

    code = Code.REQUEST_TIMEOUT
    definite = False
    summary = "the server gave up waiting for its quorum"


class ReconfigDisabled(ApiError):
    """Reconfiguration is switched off on this cluster."""

    code = Code.RECONFIG_DISABLED
    summary = "reconfiguration is disabled"


class SessionRequiresSasl(ApiError):
    """The server closed the connection, because it demands SASL authentication first."""

    code = Code.SESSION_CLOSED_REQUIRE_SASL_AUTH
    summary = "the server requires SASL authentication"


class QuotaExceeded(ApiError):
    """The write would pass a limit of a quota."""

    code = Code.QUOTA_EXCEEDED
    summary = "a quota would be exceeded"


class ThrottledOp(ApiError):
    """The server is overloaded and refused to queue the request."""

    code = Code.THROTTLED_OP
    summary = "refused, because the server is overloaded"


class ExtensionError(ApiError):
    """The answer to an extension request.

    `leader_hint`: where to ask instead, or ""; `zxid`: the server's state.
    """

    code = Code.EXTENSION_ERROR
    summary = "the extension request was refused"

    def __init__(self, path: str = "", detail: str = "", *, leader_hint: str = "", zxid: int = 0) -> None:
        super().__init__(path, detail)
        self.leader_hint = leader_hint
        self.zxid = zxid


class NotLeader(ExtensionError):
    """Only the leader can answer this; `leader_hint` says who that is, if known."""

    code = Code.NOT_LEADER
    summary = "not the leader"


class ChangeRefused(ExtensionError):
    """The members are not changed, or the leader is not; the text says why."""

    code = Code.CHANGE_REFUSED
    summary = "that change cannot be made"


class NoLease(ExtensionError):
    """The lease has ended or never existed, or the secret is not its own: not told apart, on purpose."""

    code = Code.NO_LEASE
    summary = "no such lease"


class ConnectionLost(CoordError):
    """The connection ended before the answer came.

    `definite` is True only for a request that was never handed to a connection.
    """

    code = Code.CONNECTION_LOSS

    def __init__(self, detail: str = "the connection ended before the answer came", *, definite: bool = False) -> None:
        super().__init__(detail)
        self.definite = definite


class OperationTimeout(CoordError):
    """No server could be reached, or none answered, in the time the caller gave."""

    code = Code.OPERATION_TIMEOUT

    def __init__(self, detail: str = "no answer in time", *, definite: bool = False) -> None:
        super().__init__(detail)
        self.definite = definite


class SessionExpired(CoordError):
    """The session has ended: its ephemerals and locks are gone. `definite` as in `ConnectionLost`."""

    code = Code.SESSION_EXPIRED

    def __init__(self, detail: str = "the session has expired", *, definite: bool = False) -> None:
        super().__init__(detail)
        self.definite = definite


class ClientClosed(CoordError):
    """The client's scope has been left; open a new one with `connect`."""

    code = Code.CONNECTION_LOSS

    def __init__(self, detail: str = "the client is closed", *, definite: bool = False) -> None:
        super().__init__(detail)
        self.definite = definite


class ExtensionUnavailable(CoordError):
    """The server did not offer the extensions in its handshake, so it would not know the request.

    Nothing was sent.
    """

    code = Code.UNIMPLEMENTED
    definite = True


class WatchOverflow(CoordError):
    """A stream of watch events overflowed: read the state anew, then watch again."""

    definite = True


class LockError(CoordError):
    """What can happen to a contender."""

    definite = True


class LockTimeout(LockError):
    """The lock was not won in the time given. The contender is removed from the queue."""


class NoCandidate(LockError):
    """Nobody of that name stands for election, so that leadership cannot be handed over. Nothing has changed."""


class PermitsDiffer(LockError):
    """The semaphore was created with another number of permits."""


class LockLost(LockError):
    """The right ended while the body ran, so the body was cancelled. Others may hold the lock by now."""


class StaleToken(CoordError):
    """A resource outside refused a fencing token, since it has seen a newer one: somebody else holds the lock now."""

    definite = True

    def __init__(self, resource: str, token: int, newest: int | None = None) -> None:
        seen = f"token {newest}" if newest is not None else "a newer token"
        super().__init__(f"{resource}: token {token} is refused, since {seen} was seen: the lock has a new holder")
        self.token = token
        self.newest = newest
        """The newest that the resource has seen; None if it did not tell."""


class LeaseLost(CoordError):
    """The lease ended while the body ran, or could not be confirmed, so the body was cancelled.

    Its keys are gone, or may be; others may have created them anew by now.
    """


class ProtocolError(CoordError):
    """A bug on one side of the connection."""

    code = Code.MARSHALLING_ERROR


class LocalProtocolError(ProtocolError):
    """Our own call was wrong: nothing was sent."""

    definite = True


class RemoteProtocolError(ProtocolError):
    """The peer sent what no correct peer sends; the connection is of no further use."""


class FrameTooLarge(RemoteProtocolError):
    """A frame announces a length that is negative or above the limit."""

    def __init__(self, length: int, limit: int, frames: list[bytes]) -> None:
        super().__init__(f"a frame of {length} bytes, where 0 to {limit} are allowed")
        self.length = length
        self.limit = limit
        self.frames = frames
        """Whole frames that came before it in the same piece of data: they are still to be served."""


_ERRORS: Final[dict[int, type[CoordError]]] = {
    int(error.code): error
    for error in (
        SystemFault,
        RuntimeInconsistency,
        DataInconsistency,
        ConnectionLost,
        MarshallingError,
        Unimplemented,
        OperationTimeout,
        BadArguments,
        UnknownSession,
        NewConfigNoQuorum,
        ReconfigInProgress,
        ApiError,
        NoNode,
        NoAuth,
        BadVersion,
        NoChildrenForEphemerals,
        NodeExists,
        NotEmpty,
        InvalidCallback,
        InvalidAcl,
        AuthFailed,
        SessionExpired,
        SessionMoved,
        NotReadOnly,
        EphemeralOnLocalSession,
        NoWatcher,
        RequestTimeout,
        ReconfigDisabled,
        SessionRequiresSasl,
        QuotaExceeded,
        ThrottledOp,
        ExtensionError,
        NotLeader,
        NoLease,
        ChangeRefused,
        NotOperator,
    )
}


def error_for(code: int, path: str = "", detail: str = "") -> CoordError:
    """The exception for a code that a server answered with; a plain `ApiError` if the code is unknown.

    >>> error_for(-101, "/a")
    NoNode('/a: no such znode')
    """
    error = _ERRORS.get(code)
    if error is None:
        return ApiError(path, detail or f"error code {code}")
    if issubclass(error, ApiError):
        return error(path, detail)
    # The others do not carry a path. A server that answered at all tells us that the request had no effect.
    failure = error()
    failure.definite = True
    return failure
