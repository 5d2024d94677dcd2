"""A server's four-letter words, asked from outside."""

import socket
from contextlib import closing
from typing import Final

PATIENCE: Final = 1.0  # seconds; a server answers within a turn, and one that is paused never


def ask(address: str, word: str) -> str:
    """The answer of the server at `host:port`; empty if nobody answers. Blocks for up to a second or two."""
    host, _, port = address.rpartition(":")
    try:
        with closing(socket.create_connection((host, int(port)), timeout=PATIENCE)) as sock:
            sock.sendall(word.encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
            return answer.decode()
    except OSError:
        return ""
