"""What one session may see: nothing twice, nothing backwards, and nothing new before its event.

    order     the zxid of replies never falls, whatever servers they come from; a znode once seen (or written)
              is never seen older (CONCEPTS C11, C13)
    watches   a change of a watched znode is told before any reply shows it; a one-shot watch fires once, for
              what was asked; a persistent one fires exactly once per change (ZOOKEEPER-PROTOCOL §7)

Kept on the client's side from what it was sent, and judged as the replies come in. A `Sight` lives as long as
its session; what it knows of persistent watches ends with the connection, as the events of the gap are lost
by design.
"""

from dataclasses import dataclass, field

from coord.sim.verdict import Violation
from coord_protocol.records import EventType, Stat

MISSING = 0
"""Stands for the mzxid or pzxid of a znode that is not there."""


@dataclass(slots=True)
class Sight:
    """`who` names the client in messages. A *mark* is the mzxid of a znode, or `MISSING`."""

    who: str
    last_zxid: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    """By path: the newest mzxid that this session has seen or written."""

    data_watches: dict[str, int] = field(default_factory=dict)
    """By path: the mark when the watch was set (getData, exists)."""

    child_watches: dict[str, int] = field(default_factory=dict)
    """By path: the pzxid when the watch was set (getChildren)."""

    persistent: dict[str, "Counter"] = field(default_factory=dict)
    """By path: what a persistent watch has told on this connection."""

    recursive: dict[str, dict[str, "Counter"]] = field(default_factory=dict)
    """By path of a recursive watch, then by path of what it is about."""

    def on_reply(self, zxid: int) -> None:
        if zxid <= 0:
            return
        if zxid < self.last_zxid:
            raise Violation("zxid of a session never falls", f"{self.who} got zxid {zxid} after {self.last_zxid}")
        self.last_zxid = zxid

    def on_write(self, path: str, stat: Stat) -> None:
        """The client's own write was acknowledged: to whom watches, that is news like any other."""
        self._see(path, stat)
        self._check_told(path, stat.mzxid)
        for counter in self._counters(path):
            counter.check(self.who, path, stat)

    def on_read(self, path: str, stat: Stat | None, watch: bool) -> None:
        """getData or exists was answered; None: there is no such znode."""
        mark = MISSING if stat is None else stat.mzxid
        self._see(path, stat)
        self._check_told(path, mark)
        if watch:
            self.data_watches[path] = mark
        if stat is not None:
            for counter in self._counters(path):
                counter.check(self.who, path, stat)

    def on_children(self, path: str, stat: Stat, watch: bool) -> None:
        armed = self.child_watches.get(path)
        if armed is not None and armed != stat.pzxid:
            raise Violation(
                "event before the reply that reveals it",
                f"{self.who} sees children of {path} at pzxid {stat.pzxid}; its watch was set at {armed}",
            )
        if watch:
            self.child_watches[path] = stat.pzxid

    def on_event(self, event: EventType, path: str) -> None:
        is_expected = path in self.persistent
        if event == EventType.CHILDREN_CHANGED:
            is_expected |= self.child_watches.pop(path, None) is not None
        else:
            is_expected |= self.data_watches.pop(path, None) is not None
            is_expected |= any(_is_below(path, top) for top in self.recursive)
            if event == EventType.DELETED:
                is_expected |= self.child_watches.pop(path, None) is not None
            if event == EventType.DATA_CHANGED:
                for counter in self._counters(path):
                    counter.events += 1
        if not is_expected:
            raise Violation("events only for watches", f"{self.who} got {event.name} of {path} unasked")

    def on_persistent_watch(self, path: str) -> None:
        self.persistent.setdefault(path, Counter())

    def on_recursive_watch(self, path: str) -> None:
        self.recursive.setdefault(path, {})

    def on_disconnect(self) -> None:
        for path in self.persistent:
            self.persistent[path] = Counter()
        for counters in self.recursive.values():
            counters.clear()

    def _counters(self, path: str) -> list["Counter"]:
        """Of all watches that tell every change of `path`."""
        counters = [below.setdefault(path, Counter()) for top, below in self.recursive.items() if _is_below(path, top)]
        if path in self.persistent:
            counters.append(self.persistent[path])
        return counters

    def _check_told(self, path: str, mark: int) -> None:
        armed = self.data_watches.get(path)
        if armed is not None and armed != mark:
            raise Violation(
                "event before the reply that reveals it",
                f"{self.who} sees {path} at mzxid {mark}; its watch was set at {armed} and has not fired",
            )

    def _see(self, path: str, stat: Stat | None) -> None:
        if stat is None:
            return
        seen = self.marks.get(path, 0)
        if stat.mzxid < seen:
            raise Violation(
                "a session never sees a znode older",
                f"{self.who} sees {path} at mzxid {stat.mzxid} after {seen}",
            )
        self.marks[path] = stat.mzxid


@dataclass(slots=True)
class Counter:
    """Events of a persistent watch against the versions that reads show."""

    events: int = 0
    base: int | None = None
    """Version minus events, as of the first read after the watch was set."""

    czxid: int = 0
    """Of the znode that was read then: another one of the same name counts from the start."""

    def check(self, who: str, path: str, stat: Stat) -> None:
        version = stat.version
        base = version - self.events
        if self.czxid != stat.czxid:
            self.base, self.czxid = None, stat.czxid
        if self.base is not None and self.base != base:
            raise Violation(
                "a persistent watch fires once per change",
                f"{who} sees version {version} of {path} after {self.events} events;"
                f" before, the difference was {self.base}",
            )
        self.base = base


def _is_below(path: str, top: str) -> bool:
    """
    >>> _is_below("/w", "/w"), _is_below("/w/1", "/w"), _is_below("/w1", "/w")
    (True, True, False)
    """
    return path == top or path.startswith(top + "/")


@dataclass(slots=True)
class Values:
    """One mzxid of one path has one version and one value, whoever reads it."""

    known: dict[tuple[str, int], tuple[int, bytes | None]] = field(default_factory=dict)

    def on_read(self, who: str, path: str, stat: Stat, data: bytes | None) -> None:
        found = self.known.setdefault((path, stat.mzxid), (stat.version, data))
        if found != (stat.version, data):
            raise Violation(
                "one value per zxid",
                f"{who} reads {path} at {stat.mzxid} as {(stat.version, data)}; another saw {found}",
            )
