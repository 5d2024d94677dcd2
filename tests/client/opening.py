"""Clients of a `Keeper`, with nothing left to chance."""

from contextlib import AbstractAsyncContextManager

from coord_client import Client, connect
from coord_client.addresses import Address, Itinerary
from tests.client.keeper import Keeper


def calm(*addresses: Address) -> Itinerary:
    """Servers in the order given, and pauses of full length."""
    return Itinerary(list(addresses), shuffle=lambda _: None, jitter=lambda: 1.0)


def client_of(
    keeper: Keeper,
    *,
    hosts: str = "a:1",
    timeout: float = 10.0,
    name: str | None = None,
    retry_timeout: float | None = None,
) -> AbstractAsyncContextManager[Client]:
    """A client that dials the keeper, whatever the hosts are called."""
    return connect(
        hosts,
        session_timeout=timeout,
        name=name,
        retry_timeout=retry_timeout,
        dial=keeper.dialler(name or ""),
        itinerary=calm(Address("a", 1), Address("b", 2)),
    )


def cut(keeper: Keeper, client: Client) -> None:
    """The client's connection breaks."""
    for link in keeper.links:
        if link.session_id == client.session_id:
            link.cut()
