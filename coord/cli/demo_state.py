"""What the demo knows: its tasks fill it, `demo_view` draws it, `demo_story` waits for it to change."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import trio

NOTES_KEPT: Final = 9  # lines of the live view; without a terminal each is printed as it comes
PATIENCE: Final = 20.0  # seconds for anything that the demo waits for; a hand-over takes three
LOOK_EVERY: Final = 0.01


class DemoFailed(Exception):
    """Something did not happen, or should not have; the text says what."""


class Health(StrEnum):
    """Of a process, by what was done to it."""

    RUNS = "runs"
    KILLED = "killed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Member:
    """A server."""

    address: str
    health: Health = Health.RUNS
    status: dict[str, Any] | None = None
    """What it said of itself last; None if it does not answer."""


@dataclass(slots=True)
class Worker:
    """A process of the pool."""

    health: Health = Health.RUNS
    done: int = 0
    """Jobs, by what it said itself."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """A leader's end, and the seconds until there was another."""

    end: str
    seconds: float


@dataclass(slots=True)
class State:
    """All of it."""

    members: dict[int, Member]
    jobs: int
    print_note: Callable[[str], None]
    started_at: float = field(default_factory=trio.current_time)
    workers: dict[str, Worker] = field(default_factory=dict)
    leader: str | None = None
    """The worker that has led last, with `token`."""
    token: int = 0
    results: int = 0
    """In the tree."""
    reports: Counter[str] = field(default_factory=Counter)
    """How often workers said that they have done a job, by job."""
    refused: list[int] = field(default_factory=list)
    """Tokens under which a late write was refused."""
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=NOTES_KEPT))
    hand_overs: list[HandOver] = field(default_factory=list)

    @property
    def raft_leader(self) -> int | None:
        """The member that says that it leads; in the newest term, if several do."""
        terms = {
            member.status["term"]: number
            for number, member in self.members.items()
            if member.status is not None and member.status["role"] == "leader"
        }
        return terms[max(terms)] if terms else None

    def note(self, text: str) -> None:
        """Something that people should read has happened."""
        line = f"{trio.current_time() - self.started_at:5.1f} s  {text}"
        self.notes.append(line)
        self.print_note(line)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the state is so. Raises `DemoFailed` with `what` was waited for."""
    with trio.move_on_after(PATIENCE):
        while not condition():
            await trio.sleep(LOOK_EVERY)
        return
    raise DemoFailed(f"waited {PATIENCE:g} s in vain: {what}")
