"""Transactions that happen once, though the answer to them may be lost.

After a lost answer, a look at the tree often tells what became of the request. It does not where others may
undo what one looks for: an item that was put into a queue may have been taken out again, a counter may have
moved on. So each transaction here also writes a receipt, a znode that only we write, at the version that it
has. If the first try went through, the second is refused by that version; however late the first one arrives,
only one of the two can go through.

It costs a write more, but no round trip. Receipts are ephemeral znodes below `/_receipts` at the client's
root: one for each transaction that a client has under way at a time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from coord_client.retry import until_answered
from coord_client.transaction import Create, Op, Set
from coord_protocol.errors import (
    ApiError,
    BadVersion,
    ConnectionLost,
    CoordError,
    NodeExists,
    NoNode,
    RequestTimeout,
    SessionExpired,
)
from coord_protocol.paths import join

if TYPE_CHECKING:
    from coord_client.client import Client

RECEIPTS: Final = "/_receipts"


class _Receipt:
    """One of our znodes, which goes with its session."""

    def __init__(self, path: str, session_id: int) -> None:
        self.path = path
        self.session_id = session_id
        self.version: int | None = 0
        """None: whoever wrote it last did not wait for the answer."""


class Receipts:
    """See the module's head. One per client, for all its recipes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._idle: list[_Receipt] = []

    async def commit(self, *operations: Op) -> None:
        """All of `operations` or none, once, as `Client.multi`; raises the error of the one at fault.

        Raises `ConnectionLost` if no server is reached for the client's `retry_timeout`, and `SessionExpired`
        if the session ends before the outcome is known; then, `definite` says whether it is.
        """
        receipt = self._take_idle() or await self._create()
        try:
            await self._commit(receipt, operations)
        finally:
            self._idle.append(receipt)

    async def _commit(self, receipt: _Receipt, operations: tuple[Op, ...]) -> None:
        version = await self._version_of(receipt)
        receipt.version = None  # until the outcome is known
        is_definite = True
        while True:
            # In its session or not at all: there is no pause before the transaction is queued.
            if self._client.session_id != receipt.session_id:
                raise SessionExpired(definite=is_definite)
            try:
                await self._client.multi([Set(receipt.path, b"", version), *operations])
            except (ConnectionLost, RequestTimeout) as error:
                if error.definite:
                    raise ConnectionLost(str(error), definite=is_definite) from None
                is_definite = False
            except SessionExpired as error:
                raise SessionExpired(str(error), definite=is_definite and error.definite) from None
            except ApiError as error:
                if error.op_index == 0 and (is_definite or not isinstance(error, BadVersion)):
                    raise CoordError(f"{receipt.path}: somebody else wrote or deleted this receipt of ours") from error
                if error.op_index == 0:
                    receipt.version = version + 1
                    return  # an earlier try went through
                if error.op_index is not None:
                    receipt.version = version
                    error.op_index -= 1
                raise
            else:
                receipt.version = version + 1
                return

    def _take_idle(self) -> _Receipt | None:
        while self._idle:
            receipt = self._idle.pop()
            if receipt.session_id == self._client.session_id:
                return receipt
        return None

    async def _create(self) -> _Receipt:
        client = self._client
        path = join(RECEIPTS, os.urandom(16).hex())
        while True:
            await client.session.wait_connected()
            receipt = _Receipt(path, client.session_id)
            try:
                await client.multi([Create(path, ephemeral=True)])
            except NodeExists:
                return receipt  # an earlier try of ours: nobody else knows the name
            except NoNode:
                await until_answered(lambda: client.ensure_path(RECEIPTS))
            except (ConnectionLost, RequestTimeout) as error:
                if error.definite:
                    raise  # nothing of what the caller wants was sent
            else:
                return receipt

    async def _version_of(self, receipt: _Receipt) -> int:
        if receipt.version is not None:
            return receipt.version
        await self._client.sync(receipt.path)
        stat = await self._client.exists(receipt.path)
        if stat is None:
            raise SessionExpired(definite=True)
        return stat.version
