"""A stretch of network between a client and a server that can be stopped, whoever runs the client."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK_BYTES = 1 << 16


class Relay:
    """Passes on what comes, in both directions, until it is told to `hold`. Made by `relaying`."""

    def __init__(self, listener: socket.socket, server: tuple[str, int]) -> None:
        self.address = "127.0.0.1:{1}".format(*listener.getsockname())
        """Where clients find it: host:port."""
        self._listener = listener
        self._server = server
        self._flows = threading.Event()
        self._flows.set()
        self._sockets = [listener]

    def hold(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._flows.clear()

    def accept(self) -> None:
        """Serve connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
            except OSError:
                return
            self._sockets += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def close(self) -> None:
        """End it, and all connections through it."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._flows.set()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._flows.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relaying(server: str) -> Iterator[Relay]:
    """In front of `server`, host:port."""
    host, _, port = server.rpartition(":")
    relay = Relay(socket.create_server(("127.0.0.1", 0)), (host, int(port)))
    acceptor = threading.Thread(target=relay.accept, daemon=True)
    acceptor.start()
    try:
        yield relay
    finally:
        relay.close()
        acceptor.join(10)
