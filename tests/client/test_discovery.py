"""Service discovery: found while registered, by us and by Curator, through sessions that come and go."""

import json
from contextlib import suppress

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord_client import Client
from coord_client.recipes.discovery import Service, ServiceRegistry, service_of
from coord_protocol.errors import ConnectionLost, LocalProtocolError
from coord_protocol.jute import Record
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import client_of, cut
from tests.client.ways import World, in_every_way

BASE = "/services"
MAIL = Service("mail", address="10.0.0.7", port=25, metadata={"zone": "b"}, id="m1", registered_ms=1)

# Written by Curator 5.4.0.
CURATORS = b"""{"name":"mail","id":"j1","address":"10.0.0.8","port":25,"sslPort":465,"payload":{"@class":
"java.util.HashMap","load":0.5,"zone":"a"},"registrationTimeUTC":1795592827206,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":
"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":
false},{"value":"port","variable":true}]}}"""
# Of Spring Cloud, and of a Curator to come.
SPRINGS = b"""{"name":"mail","id":"c1","address":"10.0.0.8","port":25,"sslPort":465,"payload":{"@class":
"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"mail-1","name":"mail","metadata":{"zone":"a"}},
"registrationTimeUTC":1616640377000,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},
{"value":"://","variable":false}]},"enabled":false,"invented later":[]}"""
GARBAGE = [b"", b"oops", b"[]", b"\xff", b'{"name": "mail"}', b'{"name": "mail", "id": 7}', b"[" * 100_000]


# The document.


def test_the_document_is_curator_s() -> None:
    """Its names, all of them, and nothing else: Curator's own reader may refuse what it does not know."""
    assert json.loads(MAIL.to_json()) == {
        "name": "mail",
        "id": "m1",
        "address": "10.0.0.7",
        "port": 25,
        "sslPort": None,
        "payload": {"zone": "b"},
        "registrationTimeUTC": 1,
        "serviceType": "DYNAMIC",
        "uriSpec": None,
        "enabled": True,
    }


def test_curator_s_document_is_understood() -> None:
    service = service_of(CURATORS)

    assert service is not None
    assert (service.id, service.enabled) == ("j1", True)
    assert service.metadata == {"@class": "java.util.HashMap", "load": 0.5, "zone": "a"}
    assert service_of(service.to_json()) == service


def test_spring_s_document_is_understood() -> None:
    service = service_of(SPRINGS)

    assert service is not None
    assert (service.name, service.id, service.address) == ("mail", "c1", "10.0.0.8")
    assert (service.port, service.ssl_port) == (25, 465)
    assert service.metadata["metadata"] == {"zone": "a"}
    assert service.registered_ms == 1616640377000
    assert service.uri_spec["parts"][0] == {"value": "scheme", "variable": True}
    assert not service.enabled
    assert service_of(service.to_json()) == service


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_garbage_is_no_service(data: bytes) -> None:
    assert service_of(data) is None


@pytest.mark.parametrize("field", ["name", "id", "address", "port", "sslPort", "registrationTimeUTC", "enabled"])
def test_a_field_of_the_wrong_type_makes_it_no_service(field: str) -> None:
    document = json.loads(MAIL.to_json())
    assert service_of(json.dumps(document).encode()) == MAIL
    assert service_of(json.dumps({**document, field: ["?"]}).encode()) is None


def test_two_services_have_two_ids() -> None:
    assert Service("mail").id != Service("mail").id


# Registering and finding.


@in_every_way
async def test_a_service_is_found_while_it_is_registered(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        registry = world.recipes.ServiceRegistry(client, BASE)
        elsewhere = world.recipes.ServiceRegistry(other, BASE)
        assert await elsewhere.names() == []
        assert await elsewhere.instances("mail") == []

        async with registry.register(MAIL) as registration:
            assert registration.is_registered
            assert await elsewhere.names() == ["mail"]
            assert await elsewhere.instances("mail") == [MAIL]
            data, stat = await other.get(f"{BASE}/mail/m1")
            assert data == MAIL.to_json()
            assert stat.ephemeral_owner == client.session_id
        assert not registration.is_registered
        assert await elsewhere.instances("mail") == []


@in_every_way
async def test_a_watch_gives_the_list_now_and_each_newer_one(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        registry = world.recipes.ServiceRegistry(client, BASE)
        second = Service("mail", address="10.0.0.6", id="m0")
        async with world.recipes.ServiceRegistry(other, BASE).watch("mail") as changes:
            assert await anext(changes) == []
            async with registry.register(MAIL) as registration:
                assert await anext(changes) == [MAIL]
                async with registry.register(second):
                    assert await anext(changes) == [second, MAIL]
                    await registration.update({"zone": "c"}, enabled=False)
                    updated = (await anext(changes))[1]
                    assert updated == registration.service
                    assert (updated.metadata, updated.enabled) == ({"zone": "c"}, False)
                    await registration.update(enabled=True)
                    assert (await anext(changes))[1].metadata == {"zone": "c"}
                assert await anext(changes) == [registration.service]
            assert await anext(changes) == []


@in_every_way
async def test_what_others_wrote_and_nobody_can_read_is_left_out(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        registry = world.recipes.ServiceRegistry(client, BASE)
        await other.create(f"{BASE}/mail/c1", SPRINGS, make_parents=True)
        async with registry.watch("mail") as changes:
            assert [service.id for service in await anext(changes)] == ["c1"]
            for number, data in enumerate(GARBAGE):
                await other.create(f"{BASE}/mail/garbage-{number}", data)
            await other.set(f"{BASE}/mail/c1", b"garbage")
            assert await anext(changes) == []
            await other.set(f"{BASE}/mail/c1", MAIL.to_json())
            assert await anext(changes) == [MAIL]
            assert await registry.instances("mail") == [MAIL]


@in_every_way
async def test_whoever_registers_an_id_again_takes_it_over(world: World) -> None:
    """As after a crash, when the servers do not know yet that the last life is over. Nobody takes it back by force."""
    async with (
        world.connect() as client,
        world.connect() as other,
        world.recipes.ServiceRegistry(other, BASE).register(MAIL) as old,
    ):
        async with world.recipes.ServiceRegistry(client, BASE).register(MAIL):
            await until_owned(client, client.session_id)
            await old.update({"zone": "c"})
            assert await world.recipes.ServiceRegistry(client, BASE).instances("mail") == [MAIL]
        await until_owned(client, other.session_id)
        assert await world.recipes.ServiceRegistry(client, BASE).instances("mail") == [old.service]


async def until_owned(client: Client, session_id: int) -> None:
    """Wait until the registration is that of a session."""
    while True:
        stat, change = await client.exists_and_watch(f"{BASE}/mail/m1")
        if stat is not None and stat.ephemeral_owner == session_id:
            return
        await change.wait()


@in_every_way
async def test_only_dynamic_services_are_registered(world: World) -> None:
    async with world.connect() as client:
        with pytest.raises(LocalProtocolError, match="DYNAMIC"):
            await world.recipes.ServiceRegistry(client, BASE).register(Service("mail", type="STATIC")).__aenter__()


# Interruptions.


@on_both_backends
async def test_a_registration_is_made_anew_after_the_loss_of_the_session() -> None:
    """With what it was last updated to; and whoever watches sees it go and come."""
    keeper = Keeper()
    async with (
        client_of(keeper, name="service") as client,
        client_of(keeper) as other,
        ServiceRegistry(client, BASE).register(MAIL) as registration,
        ServiceRegistry(other, BASE).watch("mail") as changes,
    ):
        assert await anext(changes) == [MAIL]
        await registration.update({"zone": "c"})
        for _ in range(3):
            assert await anext(changes) == [registration.service]
            assert registration.is_registered
            keeper.expire(client.session_id)
            assert await anext(changes) == []
        assert await anext(changes) == [registration.service]
        assert registration.service.metadata == {"zone": "c"}


@on_both_backends
async def test_a_watch_lasts_through_gaps_and_lost_sessions() -> None:
    keeper = Keeper()
    async with (
        client_of(keeper, name="watcher") as client,
        client_of(keeper) as other,
        ServiceRegistry(client, BASE).watch("mail") as changes,
    ):
        assert await anext(changes) == []
        async with ServiceRegistry(other, BASE).register(MAIL):
            assert await anext(changes) == [MAIL]
            keeper.expire(client.session_id)
            keeper.is_reachable = False
            await anyio.sleep(100.0)
            keeper.is_reachable = True
            await anyio.sleep(10.0)
            cut(keeper, client)
        assert await anext(changes) == []


@on_both_backends
async def test_a_registration_that_is_deleted_comes_back() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other, ServiceRegistry(client, BASE).register(MAIL):
        await other.delete(f"{BASE}/mail/m1")
        await until_owned(other, client.session_id)


@on_both_backends
async def test_lost_answers_on_entering_leave_one_registration_and_none_afterwards() -> None:
    for opcode in (OpCode.CREATE2, OpCode.GET_DATA):
        for action in (Action.CUT_BEFORE, Action.CUT_AFTER):
            keeper = Keeper()
            async with client_of(keeper) as client:
                await client.ensure_path(f"{BASE}/mail")
                keeper.on_request = Once(action, opcode)
                async with ServiceRegistry(client, BASE).register(MAIL):
                    assert keeper.znodes[f"{BASE}/mail/m1"].owner == client.session_id
                assert f"{BASE}/mail/m1" not in keeper.znodes


@on_both_backends
async def test_an_update_does_not_overwrite_who_takes_the_id_over_meanwhile() -> None:
    """Its znode has the same path and version as the one that it replaced, and nobody has told us yet."""
    keeper = Keeper()
    async with client_of(keeper) as client, ServiceRegistry(client, BASE).register(MAIL) as registration:

        def take_over_first(opcode: OpCode, record: Record | None) -> Action:
            if opcode == OpCode.MULTI:
                keeper.on_request = serve
                keeper.znodes[f"{BASE}/mail/m1"].owner = keeper.znodes[f"{BASE}/mail/m1"].czxid = 4711
                keeper.znodes[f"{BASE}/mail/m1"].data = b"another's"
                keeper.znodes[f"{BASE}/mail"].version += 1
            return Action.SERVE

        serve, keeper.on_request = keeper.on_request, take_over_first
        await registration.update({"zone": "c"})

        assert keeper.on_request is serve, "there was a moment between its look and its write"
        assert keeper.znodes[f"{BASE}/mail/m1"].data == b"another's"


@on_both_backends
async def test_an_eviction_moves_the_version_by_which_the_evicted_knows() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other, ServiceRegistry(other, BASE).register(MAIL):
        before = keeper.znodes[f"{BASE}/mail"].version
        async with ServiceRegistry(client, BASE).register(MAIL):
            assert keeper.znodes[f"{BASE}/mail/m1"].owner == client.session_id
            assert keeper.znodes[f"{BASE}/mail"].version == before + 1


@on_both_backends
async def test_an_update_whose_answer_is_lost_is_told_by_the_next_registration() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, ServiceRegistry(client, BASE).register(MAIL) as registration:
        keeper.on_request = Once(Action.CUT_BEFORE, OpCode.MULTI)
        with pytest.raises(ConnectionLost):
            await registration.update({"zone": "c"})
        keeper.expire(client.session_id)
        await anyio.sleep(10.0)
        assert keeper.znodes[f"{BASE}/mail/m1"].data == registration.service.to_json()
        assert registration.service.metadata == {"zone": "c"}


@on_both_backends
async def test_a_registration_that_is_left_without_a_connection_is_taken_back_after_it() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with ServiceRegistry(client, BASE).register(MAIL):
            keeper.is_reachable = False
            cut(keeper, client)
            await anyio.sleep(0.1)
        keeper.is_reachable = True
        await anyio.sleep(10.0)
        assert f"{BASE}/mail/m1" not in keeper.znodes


@on_both_backends
async def test_registering_without_a_server_fails_and_leaves_nothing_behind() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        keeper.is_reachable = False
        cut(keeper, client)
        await anyio.sleep(0.1)
        with pytest.raises(ConnectionLost):
            await ServiceRegistry(client, BASE).register(MAIL).__aenter__()
        keeper.is_reachable = True
        await anyio.sleep(10.0)
        assert f"{BASE}/mail/m1" not in keeper.znodes


@on_both_backends
async def test_the_registration_goes_on_when_nobody_could_be_reached_for_long() -> None:
    """Longer than any request waits for a connection."""
    keeper = Keeper()
    async with client_of(keeper) as client, ServiceRegistry(client, BASE).register(MAIL) as registration:
        keeper.is_reachable = False
        keeper.expire(client.session_id)
        await anyio.sleep(100.0)
        with suppress(ConnectionLost):
            await registration.update({"zone": "c"})
        keeper.is_reachable = True
        await anyio.sleep(30.0)
        assert keeper.znodes[f"{BASE}/mail/m1"].data == registration.service.to_json()
