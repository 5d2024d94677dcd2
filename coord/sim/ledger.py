"""Exactly once, in order, all or nothing: what the log must make of what clients sent.

queue   a payload is sent once, as a sequential create: acknowledged ones exist exactly once, with the
        name that was acknowledged; lost ones at most once; refused ones not at all. Of one connection's
        creates a prefix exists, numbered in the order in which they were sent, and nothing of an earlier
        connection comes after something of a later one (CONCEPTS C1).
pair    two znodes that are only ever changed by one multi: equal at all times.
"""

from dataclasses import dataclass, field

from coord.sim.verdict import Violation
from coord_protocol.requests import GetDataResponse


@dataclass(slots=True)
class Ledger:
    order: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """By client and connection: payloads in the order in which they were sent."""

    paths: dict[str, str] = field(default_factory=dict)
    """By payload: where an acknowledged one is."""

    refusals: dict[str, int] = field(default_factory=dict)

    def sent(self, client: int, connection: int, payload: str) -> None:
        self.order.setdefault((client, connection), []).append(payload)

    def acknowledged(self, payload: str, path: str) -> None:
        self.paths[payload] = path

    def refused(self, payload: str, code: int) -> None:
        self.refusals[payload] = code

    def judge_queue(self, found: dict[str, str]) -> None:
        """`found`: path → payload, everything that is in the queue at the end."""
        places: dict[str, str] = {}
        for path, payload in found.items():
            if payload in places:
                raise Violation("exactly once", f"payload {payload} is there twice: {places[payload]}")
            places[payload] = path
        for payload, path in self.paths.items():
            if places.get(payload) != path:
                raise Violation(
                    "acknowledged writes survive",
                    f"payload {payload} was acknowledged as {path} and is at {places.get(payload)}",
                )
        for payload, code in self.refusals.items():
            if payload in places:
                raise Violation(
                    "a refused request has no effect",
                    f"payload {payload} was refused with {code} and is at {places[payload]}",
                )
        last: dict[int, str] = {}
        for (client, connection), payloads in self.order.items():
            there = self._judge_connection(f"connection {connection} of client {client}", payloads, places)
            if there and there[0] < last.get(client, ""):
                raise Violation(
                    "nothing of an old connection after something of a new one",
                    f"connection {connection} of client {client} made {there}, an earlier one {last[client]}",
                )
            last[client] = max([last.get(client, ""), *there])

    def _judge_connection(self, sender: str, payloads: list[str], places: dict[str, str]) -> list[str]:
        """Returns where its payloads are, in the order of sending."""
        numbers = [places.get(payload) for payload in payloads if payload not in self.refusals]
        there = [number for number in numbers if number is not None]
        if numbers[: len(there)] != there:
            raise Violation(
                "of a connection's requests a prefix is carried out",
                f"{sender} sent {payloads}, found {numbers}",
            )
        if there != sorted(there):
            raise Violation("FIFO client order", f"{sender} sent {payloads}, found {numbers}")
        return there

    def judge_multi(self, who: str, culprit: tuple[int, int] | None, expected: tuple[int, int] | None) -> None:
        if culprit != expected:
            raise Violation("a multi fails where it must", f"{who}: the culprit should be {expected}, was {culprit}")

    def judge_pair(self, who: str, first: GetDataResponse, second: GetDataResponse) -> None:
        """The second was read after the first, on the same connection."""
        for response in (first, second):
            if b"must not" in (response.data or b""):
                raise Violation("all or nothing", f"{who} sees the trace of a refused multi: {response.data!r}")
        if second.stat.version < first.stat.version:
            raise Violation(
                "all or nothing",
                f"{who} sees versions {first.stat.version} and then {second.stat.version} of a pair",
            )

    def judge_final_pair(self, first: GetDataResponse, second: GetDataResponse) -> None:
        if first.stat.version != second.stat.version:
            raise Violation(
                "all or nothing",
                f"at the end the pair has versions {first.stat.version} and {second.stat.version}",
            )
        if first.stat.version and (first.data, first.stat.mzxid) != (second.data, second.stat.mzxid):
            raise Violation("all or nothing", f"at the end the pair differs: {first} and {second}")
