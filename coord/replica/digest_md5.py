"""SASL's mechanism DIGEST-MD5 (RFC 2831), the server's side, as ZooKeeper's clients speak it.

The server sends a nonce; the client answers with a hash of it and of its password, and the server shows in its turn
that it knows the password, too. `qop` is auth alone: nothing after it is signed or sealed. MD5 is weak, and a server
needs the passwords in clear: use it where clients know nothing better, and over TLS.
"""

import hmac
import re
from collections.abc import Mapping
from hashlib import md5
from typing import Final

REALM: Final = "zk-sasl-md5"
"""ZooKeeper's clients take it for the name of any server."""

_URI: Final = f"zookeeper/{REALM}".encode()
_FIRST_USE: Final = b"00000001"
_DIRECTIVE: Final = re.compile(rb'\s*([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)', re.DOTALL)


class Refused(Exception):
    """The client did not prove who it is. Says no more: what exactly was wrong would help those who guess."""


def challenge(nonce: str) -> bytes:
    """What the server says first. `nonce`: printable, without quotes, never used before.

    >>> challenge("abc")
    b'realm="zk-sasl-md5",nonce="abc",qop="auth",charset=utf-8,algorithm=md5-sess'
    """
    return f'realm="{REALM}",nonce="{nonce}",qop="auth",charset=utf-8,algorithm=md5-sess'.encode()


def check(response: bytes, nonce: str, users: Mapping[str, str]) -> tuple[str, bytes]:
    """The user who answered the challenge with this nonce, and what proves to the client that we know the password.

    `users`: passwords by name. Raises `Refused`.
    """
    said = parse(response)
    name = _text(said.get("username", b""))
    password = users.get(name)
    claims_another = said.get("authzid", b"") not in (b"", said.get("username"))
    is_ours = (
        said.get("nonce") == nonce.encode()
        and said.get("nc") == _FIRST_USE
        and said.get("qop", b"auth") == b"auth"
        and said.get("digest-uri") == _URI
        and said.get("realm", b"") in (REALM.encode(), b"")
    )
    if password is None or claims_another or not is_ours or not said.get("cnonce"):
        raise Refused
    # RFC 2831 wants Latin-1 wherever that suffices; some clients take UTF-8 for everything.
    for encoding in ("utf-8", "latin-1"):
        try:
            key = md5(b":".join((name.encode(encoding), said.get("realm", b""), password.encode(encoding)))).digest()
        except UnicodeEncodeError:
            continue
        if hmac.compare_digest(_digest(key, said, b"AUTHENTICATE:"), said.get("response", b"")):
            return name, b"rspauth=" + _digest(key, said, b":")
    raise Refused


def parse(text: bytes) -> dict[str, bytes]:
    """The directives of a challenge or a response. Raises `Refused` for what is none, or has one twice.

    >>> parse(rb'username="a\\"b", qop=auth')
    {'username': b'a"b', 'qop': b'auth'}
    """
    said: dict[str, bytes] = {}
    offset = 0
    while offset < len(text):
        found = _DIRECTIVE.match(text, offset)
        if found is None:
            raise Refused
        key, quoted, plain = found.groups()
        name = key.decode().lower()
        if name in said:
            raise Refused
        said[name] = plain if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
        offset = found.end()
    return said


def _digest(key: bytes, said: Mapping[str, bytes], purpose: bytes) -> bytes:
    """RFC 2831 §2.1.2.1. `purpose`: of the client's proof or, without a name, the server's."""
    nonce, cnonce = said["nonce"], said["cnonce"]
    session_key = md5(b":".join((key, nonce, cnonce))).hexdigest().encode()
    aim = md5(purpose + said["digest-uri"]).hexdigest().encode()
    return md5(b":".join((session_key, nonce, said["nc"], cnonce, b"auth", aim))).hexdigest().encode()


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
