"""The leases of a `Keeper`: granted, kept alive and ended as a server does it, without tasks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from coord_protocol.errors import ExtensionError, NoLease, NotOperator, ThrottledOp
from coord_protocol.extensions import (
    CreateWithLeaseRequest,
    EndLeaseRequest,
    LeaseAndSecret,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseInfo,
    LeaseInfoRequest,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseListRequest,
    LeaseListResponse,
    LeaseRevokeRequest,
)
from coord_protocol.jute import Record
from coord_protocol.requests import CreateRequest

if TYPE_CHECKING:
    from tests.client.keeper import Keeper


@dataclass
class Granted:
    """A lease, as the server knows it."""

    ttl: float
    name: str
    meta: bytes
    secret: bytes
    ends_at: float


class LeaseOffice:
    """See the module's head."""

    def __init__(self, keeper: "Keeper") -> None:
        self.table: dict[int, Granted] = {}
        self.has_operators = True
        """Whoever asks may end what belongs to others."""
        self.refuses_keep_alives = False
        self._keeper = keeper

    def serve(self, request: Record) -> bytes | None:
        """The answer's body; None if the request is about something else. Raises what is to be answered."""
        match request:
            case LeaseGrantRequest():
                return self._grant(request).encode()
            case LeaseKeepAliveRequest() if self.refuses_keep_alives:
                raise ThrottledOp
            case LeaseKeepAliveRequest():
                return LeaseKeepAliveResponse([self._keep_alive(one) for one in request.leases]).encode()
            case LeaseRevokeRequest():
                self._find(request.lease_id, request.secret)
                self.end(request.lease_id)
            case CreateWithLeaseRequest(path, data, acl, flags, lease_id, secret):
                self._find(lease_id, secret)
                self._keeper.zxid += 1
                return self._keeper.create(CreateRequest(path, data, acl, flags), owner=lease_id).encode()
            case LeaseInfoRequest():
                found = [info for info in self._infos() if info.lease_id == request.lease_id]
                if not found:
                    raise NoLease
                return found[0].encode()
            case LeaseListRequest():
                return LeaseListResponse([i for i in self._infos() if request.kind in ("", i.kind)]).encode()
            case EndLeaseRequest():
                self._end_for_operator(request.lease_id)
            case _:
                return None
        return b""

    def end(self, lease_id: int) -> None:
        """It is over, and its znodes with it."""
        del self.table[lease_id]
        self._keeper.end_owned_by(lease_id)

    def next_end(self) -> float:
        """When the next lease ends, if nobody keeps it alive."""
        return min((lease.ends_at for lease in self.table.values()), default=float("inf"))

    def end_overdue(self, now: float) -> None:
        for lease_id, lease in list(self.table.items()):
            if now >= lease.ends_at:
                self.end(lease_id)

    def _grant(self, request: LeaseGrantRequest) -> LeaseGrantResponse:
        if request.ttl_ms < 1000:
            raise ExtensionError
        self._keeper.zxid += 1
        lease_id = 0x10000 + self._keeper.zxid
        ttl = request.ttl_ms / 1000
        secret = lease_id.to_bytes(16, "big")
        self.table[lease_id] = Granted(ttl, request.name, request.meta or b"", secret, anyio.current_time() + ttl)
        return LeaseGrantResponse(lease_id, request.ttl_ms, secret)

    def _keep_alive(self, asked: LeaseAndSecret) -> int:
        lease = self.table.get(asked.lease_id)
        if lease is None or lease.secret != asked.secret:
            return -1
        lease.ends_at = anyio.current_time() + lease.ttl
        return round(lease.ttl * 1000)

    def _find(self, lease_id: int, secret: bytes | None) -> Granted:
        lease = self.table.get(lease_id)
        if lease is None or lease.secret != secret:
            raise NoLease
        return lease

    def _end_for_operator(self, lease_id: int) -> None:
        if not self.has_operators:
            raise NotOperator
        if lease_id in self.table:
            self.end(lease_id)
        elif lease_id in self._keeper.sessions:
            self._keeper.expire(lease_id)
        else:
            raise NoLease

    def _infos(self) -> list[LeaseInfo]:
        now = anyio.current_time()
        sessions = [
            LeaseInfo(number, "session", each.name, round(each.timeout * 1000), 0, [], None, "127.0.0.1")
            for number, each in self._keeper.sessions.items()
        ]
        leases = [
            LeaseInfo(
                number, "lease", each.name, round(each.ttl * 1000), round((each.ends_at - now) * 1000),
                self._keeper.owned_by(number), each.meta, "",
            )
            for number, each in self.table.items()
        ]  # fmt: skip
        return [*sessions, *leases]
