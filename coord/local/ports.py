"""Ports for servers that are about to start on this machine."""

import os
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
LOWEST_PORT: Final = 20_000
HIGHEST_PORT: Final = 32_000  # from 32,768 on an outgoing connection may hold the port of a server that restarts


class NoFreePorts(Exception):
    """Everything in our range is taken."""


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago. Raises `NoFreePorts`.

    For servers that must know of each other before they start, or keep a port through a restart. One that is alone
    listens on port 0, which the kernel chooses for it, and nobody can be quicker.
    """
    ports: list[int] = []
    span = HIGHEST_PORT - LOWEST_PORT
    for step in range(span):
        # Processes that ask at the same time start at different places.
        port = LOWEST_PORT + (os.getpid() * 97 + step) % span
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _given.add(port)
        ports.append(port)
        if len(ports) == count:
            return ports
    raise NoFreePorts(f"no {count} free ports between {LOWEST_PORT} and {HIGHEST_PORT}")


_given: set[int] = set()
"""Ports handed out by this process, which need not be listened on yet."""
