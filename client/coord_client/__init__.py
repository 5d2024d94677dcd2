"""A client for coord and ZooKeeper on trio and asyncio.

    from coord_client import connect

    async with connect("127.0.0.1:2181", name="worker 7") as client:
        async with client.lock("/locks/report") as held:
            ...                                # cancelled before anybody else can hold the lock

`connecting` opens a client, `client` has its operations, `session` explains the states of a session,
`watches`, `transaction` and `leases` their subjects, `recipes` locks, elections and more. Errors:
`coord_protocol.errors`.
"""

from coord_client.client import Client, Znode
from coord_client.connecting import connect
from coord_client.leases import Lease, LeaseKey
from coord_client.session import SessionState
from coord_client.transaction import Check, Create, Delete, Set, Transaction
from coord_client.watches import Change, WatchEvent, WatchStream
from coord_protocol.extensions import LeaseInfo
from coord_protocol.records import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, EventType, Stat

__all__ = [
    "ACL",
    "CREATOR_ALL_ACL",
    "OPEN_ACL_UNSAFE",
    "READ_ACL_UNSAFE",
    "Change",
    "Check",
    "Client",
    "Create",
    "Delete",
    "EventType",
    "Lease",
    "LeaseInfo",
    "LeaseKey",
    "SessionState",
    "Set",
    "Stat",
    "Transaction",
    "WatchEvent",
    "WatchStream",
    "Znode",
    "connect",
]
