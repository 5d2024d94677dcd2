"""Who is an operator: may end what belongs to others, and have a server do what is not a client's business.

A client that has proved `super`; and on a server without a super digest, where nobody can, one that connects from the
server's own machine.
"""

import ipaddress

from coord.replica.connection import Connection
from coord.tree.acl import SUPER

_WITH_SUPER = "add the identity digest super:PASSWORD, of which the server knows the super_digest"
_WITHOUT_SUPER = (
    "connect from the server's own machine, or start the servers with a super_digest and add the identity"
    " digest super:PASSWORD"
)


def is_operator(connection: Connection, has_super: bool) -> bool:
    return SUPER in connection.identities or (not has_super and is_own_machine(connection.address))


def how_to_become_one(has_super: bool) -> str:
    """For whoever is not."""
    return _WITH_SUPER if has_super else _WITHOUT_SUPER


def is_own_machine(address: str) -> bool:
    """Whether it is a loopback address, which nobody else can connect from.

    >>> [is_own_machine(address) for address in ("127.0.0.1", "::1", "::ffff:127.0.0.2", "10.0.0.1", "")]
    [True, True, True, False, False]
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
