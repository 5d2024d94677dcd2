"""What became of a command: the values that `Machine.apply` reports.

    int           an error code, always negative: nothing changed
    None          done, and there is nothing to say: delete, close_session, keep_alive, add_auth …
    Znode         set_data, set_acl: the znode as it is now
    Created       create
    Lease         create_session, attach_session, lease_grant
    list[int]     lease_keep_alive: milliseconds left per lease asked for, -1 for one that is gone
    MultiDone     a multi that did everything
    MultiFailed   a multi that did nothing, and why
    ChangeRefused change_members that did nothing, and why; any other command that waits for a level

The codes are plain ints, not members of `Code`: whoever looks at an outcome asks `type(outcome) is int`.
"""

from typing import Final

import msgspec

from coord.tree.leases import Lease
from coord.tree.znode import Znode
from coord_protocol.errors import Code

UNIMPLEMENTED: Final = int(Code.UNIMPLEMENTED)
BAD_ARGUMENTS: Final = int(Code.BAD_ARGUMENTS)
NO_NODE: Final = int(Code.NO_NODE)
NO_AUTH: Final = int(Code.NO_AUTH)
BAD_VERSION: Final = int(Code.BAD_VERSION)
NO_CHILDREN_FOR_EPHEMERALS: Final = int(Code.NO_CHILDREN_FOR_EPHEMERALS)
NODE_EXISTS: Final = int(Code.NODE_EXISTS)
NOT_EMPTY: Final = int(Code.NOT_EMPTY)
SESSION_EXPIRED: Final = int(Code.SESSION_EXPIRED)
INVALID_ACL: Final = int(Code.INVALID_ACL)
RECONFIG_IN_PROGRESS: Final = int(Code.RECONFIG_IN_PROGRESS)
SESSION_MOVED: Final = int(Code.SESSION_MOVED)
NO_LEASE: Final = int(Code.NO_LEASE)
NOT_OPERATOR: Final = int(Code.NOT_OPERATOR)


class Created(msgspec.Struct, frozen=True, gc=False):
    """`path`: with its number, if it is sequential. `znode`: as it was just after this command."""

    path: str
    znode: Znode


class MultiDone(msgspec.Struct, frozen=True, gc=False):
    """One (kind, outcome) per operation, in order; a znode in it is as it was just after that operation."""

    results: "list[tuple[int, Outcome]]"


class MultiFailed(msgspec.Struct, frozen=True, gc=False):
    """The operation at `position`, of `count`, was refused with `code`; none had any effect."""

    position: int
    code: int
    count: int


class ChangeRefused(msgspec.Struct, frozen=True, gc=False):
    """What cannot be done now, a change of members as a rule: ZooKeeper's code, and the reason for people."""

    code: int
    text: str


Outcome = int | None | Znode | Created | Lease | list[int] | MultiDone | MultiFailed | ChangeRefused
