"""SASL DIGEST-MD5 by hand, byte for byte, with a client's side of our own."""

import re
from collections.abc import Mapping
from hashlib import md5
from types import MappingProxyType

import pytest

from coord.replica.digest_md5 import REALM, Refused, parse
from coord_protocol.errors import Code
from coord_protocol.records import ACL
from coord_protocol.requests import (
    CreateRequest,
    CreateResponse,
    GetDataRequest,
    GetSASLRequest,
    OpCode,
    SetSASLResponse,
)
from tests.replica.world import Client, World

USERS = {"bob": "secret", "björn": "pässwörd", "日本": "東京"}
URI = f"zookeeper/{REALM}"


def digest(name: bytes, password: bytes, nonce: str, purpose: str = "AUTHENTICATE:", realm: str = REALM) -> bytes:
    """RFC 2831 §2.1.2.1, from the text of the RFC."""
    key = md5(name + f":{realm}:".encode() + password).digest()
    a1 = md5(key + f":{nonce}:c0".encode()).hexdigest()
    a2 = md5(f"{purpose}{URI}".encode()).hexdigest()
    return md5(f"{a1}:{nonce}:00000001:c0:auth:{a2}".encode()).hexdigest().encode()


def answer(
    nonce: str, name: str, password: str, encoding: str = "utf-8", changed: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    response = digest(name.encode(encoding), password.encode(encoding), nonce).decode()
    said = {
        "username": f'"{name}"',
        "realm": f'"{REALM}"',
        "nonce": f'"{nonce}"',
        "nc": "00000001",
        "cnonce": '"c0"',
        "qop": "auth",
        "digest-uri": f'"{URI}"',
        "response": response,
        **changed,
    }
    return ",".join(f"{key}={value}" for key, value in said.items()).encode()


def connected(world: World, member: int = 1) -> Client:
    client = world.client(member)
    assert client.connect().session_id
    return client


def challenged(client: Client) -> str:
    """The nonce."""
    token = client.call(OpCode.SASL, GetSASLRequest(b""), SetSASLResponse).token
    assert token is not None
    return parse(token)["nonce"].decode()


def log_in(client: Client, name: str, password: str, encoding: str = "utf-8") -> None:
    nonce = challenged(client)
    proof = client.call(OpCode.SASL, GetSASLRequest(answer(nonce, name, password, encoding)), SetSASLResponse).token
    assert proof == b"rspauth=" + digest(name.encode(encoding), password.encode(encoding), nonce, purpose=":")


@pytest.mark.parametrize("size", [1, 3])
def test_user_passes_its_acl_and_others_do_not(size: int) -> None:
    world = World(size, sasl_users=USERS)
    world.pass_time(1)  # the level rises
    bob, stranger = connected(world, size), connected(world)
    log_in(bob, "bob", "secret")

    bob.call(OpCode.CREATE, CreateRequest("/a", b"", (ACL(31, "sasl", "bob"),), 0), CreateResponse)

    assert bob.ask(OpCode.GET_DATA, GetDataRequest("/a", False))[0] == 0
    assert stranger.ask(OpCode.GET_DATA, GetDataRequest("/a", False))[0] == Code.NO_AUTH


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_and_passwords_are_text(encoding: str) -> None:
    log_in(connected(World(sasl_users=USERS)), "björn", "pässwörd", encoding)
    log_in(connected(World(sasl_users=USERS)), "日本", "東京")


@pytest.mark.parametrize(
    ("name", "password", "changed"),
    [
        ("bob", "wrong", {}),
        ("eve", "secret", {}),
        ("bob", "secret", {"nonce": '"of-another-time"'}),
        ("bob", "secret", {"qop": "auth-int"}),
        ("bob", "secret", {"authzid": '"super"'}),
        ("bob", "secret", {"nc": "00000002"}),
        ("bob", "secret", {"digest-uri": '"http/example"'}),
        ("bob", "secret", {"cnonce": '""'}),
    ],
)
def test_who_proves_nothing_is_told_so_and_closed(name: str, password: str, changed: dict[str, str]) -> None:
    client = connected(World(sasl_users=USERS))
    nonce = challenged(client)

    code, body = client.ask(OpCode.SASL, GetSASLRequest(answer(nonce, name, password, changed=changed)))

    assert (code, SetSASLResponse.decode(body).token) == (Code.AUTH_FAILED, None)
    assert client.is_closed


def test_a_challenge_is_answered_once() -> None:
    client = connected(World(sasl_users=USERS))
    token = GetSASLRequest(answer(challenged(client), "bob", "secret"))
    assert client.ask(OpCode.SASL, token)[0] == 0
    assert client.ask(OpCode.SASL, token)[0] == Code.AUTH_FAILED


def test_without_users_clients_go_on_without() -> None:
    client = connected(World())
    assert client.call(OpCode.SASL, GetSASLRequest(b""), SetSASLResponse).token is None
    assert not client.is_closed


@pytest.mark.parametrize("text", [b"nonsense", b'a="b', b"a=b,a=c", b"=", b'a="b"c'])
def test_what_is_no_list_of_directives_is_refused(text: bytes) -> None:
    with pytest.raises(Refused):
        parse(text)


def test_challenge_offers_what_is_served() -> None:
    client = connected(World(sasl_users=USERS))
    token = client.call(OpCode.SASL, GetSASLRequest(b""), SetSASLResponse).token
    assert token is not None
    assert re.fullmatch(
        rb'realm="zk-sasl-md5",nonce="[A-Za-z0-9+/=]+",qop="auth",charset=utf-8,algorithm=md5-sess', token
    )
