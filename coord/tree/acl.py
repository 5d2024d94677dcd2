"""Who may do what to a znode (ZOOKEEPER-PROTOCOL §8).

An ACL is a tuple of entries (perms, scheme, id); it belongs to one znode and is not inherited. A session has
identities, pairs of scheme and id: its address, and whatever it authenticated as. Both are replicated, so
every member judges alike.

Nearly all znodes of a tree carry one of a few ACLs, so equal ones are kept as one object: `OPEN`, the usual
one, is even told by identity before anything is compared.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from coord_protocol.records import ACL, OPEN_ACL_UNSAFE

Acl = tuple[ACL, ...]
Identity = tuple[str, str]
"""Scheme and id."""

READ: Final = 1
WRITE: Final = 2
CREATE: Final = 4
DELETE: Final = 8
ADMIN: Final = 16

OPEN: Final[Acl] = OPEN_ACL_UNSAFE
READ_ONLY: Final[Acl] = (ACL(READ, "world", "anyone"),)
SUPER: Final[Identity] = ("super", "")
"""Who holds it passes every check."""

# Far more than a cluster uses at a time; beyond it equal ACLs are merely no longer one object.
_REMEMBERED_ACLS: Final = 4096


def permits(acl: Acl, perms: int, identities: tuple[Identity, ...]) -> bool:
    """Whether an entry that grants any of `perms` is for one of `identities`; an empty ACL lets all pass.

    >>> permits((ACL(READ, "digest", "bob:hash"),), READ | ADMIN, (("digest", "bob:hash"),))
    True
    """
    if acl is OPEN or not acl:
        return True
    for entry_perms, scheme, name in acl:
        if entry_perms & perms and _is_for(scheme, name, identities):
            return True
    return SUPER in identities


def fix_up(acl: Acl, identities: tuple[Identity, ...], off_schemes: frozenset[str] = frozenset()) -> Acl | None:
    """The ACL to store for one that a client asked for: `auth` stands for what the session authenticated as.

    None if it is invalid: empty, an unknown scheme or one of `off_schemes`, an id that its scheme cannot have, or
    `auth` without an identity.
    """
    return OPEN if acl == OPEN else _fix_up(acl, identities, off_schemes)


def shown_to(acl: Acl, identities: tuple[Identity, ...]) -> Acl:
    """What getACL answers: without ADMIN the hashes of digests are hidden.

    >>> shown_to((ACL(READ, "digest", "bob:hash"),), ())[0].id
    'bob:x'
    """
    if permits(acl, ADMIN, identities):
        return acl
    return tuple(
        ACL(perms, scheme, f"{name.partition(':')[0]}:x") if scheme == "digest" else ACL(perms, scheme, name)
        for perms, scheme, name in acl
    )


@lru_cache(maxsize=_REMEMBERED_ACLS)
def _fix_up(acl: Acl, identities: tuple[Identity, ...], off_schemes: frozenset[str]) -> Acl | None:
    fixed: list[ACL] = []
    for entry in dict.fromkeys(acl):
        perms, scheme, name = entry
        if scheme == "auth":
            # An address is not something that a client proved, and `super` is no name that an entry could
            # carry.
            proven = [ACL(perms, *identity) for identity in identities if identity[0] not in ("ip", "super")]
            if not proven:
                return None
            fixed += proven
        elif scheme not in off_schemes and _is_valid_id(scheme, name):
            fixed.append(entry)
        else:
            return None
    return shared(tuple(fixed)) if fixed else None


@lru_cache(maxsize=_REMEMBERED_ACLS)
def shared(acl: Acl) -> Acl:
    """The first of all equal ACLs."""
    return OPEN if acl == OPEN else acl


def _is_for(scheme: str, name: str, identities: tuple[Identity, ...]) -> bool:
    if scheme == "world":
        return name == "anyone"
    for its_scheme, its_name in identities:
        if its_scheme == scheme and (_is_inside(its_name, name) if scheme == "ip" else its_name == name):
            return True
    return False


def _is_valid_id(scheme: str, name: str) -> bool:
    match scheme:
        case "world":
            return name == "anyone"
        case "ip":
            return _network(name) is not None
        case "digest":
            return _is_digest(name)
        case "sasl":
            return _is_principal(name) is not None
        case "x509":
            return _is_distinguished_name(name) is not None
        case _:
            return False


def _is_digest(name: str) -> bool:
    """Two parts at a colon, as Java's `split` counts them: it drops empty ones at the end, and only there.

    >>> [_is_digest(name) for name in ("bob:hash", "bob:", "bob", ":hash", "bob::hash", "bob:hash:")]
    [True, False, False, True, False, True]
    """
    return len(name.rstrip(":").split(":")) == 2


# RFC 2253: attribute=value pairs, joined by `+` within a name's part and by `,` (or `;`) between parts. A
# value is quoted, or `#` and hex digits, or plain with special characters escaped.
_ATTRIBUTE: Final = r"\s*(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)\s*=\s*"
_VALUE: Final = r'(?:"(?:[^"\\]|\\.)*"\s*|(?:[^,;+"\\<>=#]|\\.)(?:[^,;+"\\<>]|\\.)*|#(?:[0-9A-Fa-f]{2})+\s*)?'
_is_distinguished_name: Final = re.compile(f"(?:{_ATTRIBUTE}{_VALUE}(?:[,;+]{_ATTRIBUTE}{_VALUE})*)?").fullmatch


# A user of DIGEST-MD5, or a Kerberos principal: name[/instance][@realm], whose special characters are escaped.
_PART: Final = r"(?:[^/@\\]|\\.)+"
_is_principal: Final = re.compile(f"{_PART}(?:/{_PART})?(?:@{_PART})?", re.DOTALL).fullmatch


def _is_inside(address: str, network: str) -> bool:
    """Whether the address lies in the network; never if one is IPv4 and the other IPv6."""
    this, that = _network(address), _network(network)
    if this is None or that is None or this[0] != that[0]:
        return False
    bits, number, _ = this
    _, network_number, prefix = that
    return number >> (bits - prefix) == network_number >> (bits - prefix)


@lru_cache(maxsize=_REMEMBERED_ACLS)
def _network(text: str) -> tuple[int, int, int] | None:
    """Bits of the family, the address as a number, and how many leading bits count; None for what is neither.

    >>> _network("10.0.0.0/8"), _network("::1"), _network("10.0.0.0/33")
    ((32, 167772160, 8), (128, 1, 128), None)
    """
    host, slash, length = text.partition("/")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    bits = address.max_prefixlen
    if not slash:
        return bits, int(address), bits
    if not (length.isascii() and length.isdecimal()) or int(length) > bits:
        return None
    return bits, int(address), int(length)
