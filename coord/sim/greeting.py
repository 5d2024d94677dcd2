"""Two members greet each other as they do in production, byte for byte, but in no time."""

from coord.transport.handshake import Hello, Refusal, Standpoint, Steps, accepting, dialling


def greet(dialler: Standpoint, acceptor: Standpoint) -> None:
    """Raises `Refusal`."""
    heard = _follow(accepting(acceptor), dialler.hello_to(acceptor.member))
    _follow(dialling(dialler, acceptor.member), acceptor.hello_to(heard.sender))


def knows(one: Standpoint, other: Standpoint) -> bool:
    """Whether `one` would dial the other at all: both are members as far as it knows; or it is to join, and was told
    somebody's address."""
    members = one.membership.configuration.members
    return not members or (one.member in members and other.member in members)


def agree(one: Standpoint, other: Standpoint) -> bool:
    """Whether a link comes about, whoever of the two dials."""
    for dialler, acceptor in ((one, other), (other, one)):
        if knows(dialler, acceptor):
            try:
                greet(dialler, acceptor)
            except Refusal:
                continue
            return True
    return False


def _follow(steps: Steps, hello: Hello) -> Hello:
    data = hello.encode()
    needed = next(steps)
    while True:
        piece, data = data[:needed], data[needed:]
        try:
            needed = steps.send(piece)
        except StopIteration as stop:
            heard: Hello = stop.value
            return heard
