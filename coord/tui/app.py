"""`coord top` as it runs: rounds of questions in the background, keys, signals, and a frame for whatever is new."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NoReturn

import trio

from coord.tui.claims import Claim
from coord.tui.frame import Frame, Look
from coord.tui.history import History
from coord.tui.model import Model
from coord.tui.poll import DETAILS_AT_ONCE, Cluster, following
from coord.tui.screen import Screen, press, rows_of
from coord.tui.terminal import Terminal
from coord.tui.view import Size, view
from coord_client.addresses import Address

SIGNALS: Final = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class App:
    def __init__(
        self, servers: Sequence[Address], interval: float, screen: Screen, look: Look, terminal: Terminal
    ) -> None:
        """`interval`: seconds from one round of questions to the next."""
        self.screen = screen
        self.frame: Frame | None = None
        """The newest one that was drawn."""
        self._servers = servers
        self._interval = interval
        self._look = look
        self._terminal = terminal
        self._history = History()
        self._newest = self._shown = Model(at=0.0, wall_ms=0)
        """The newest model, and the one on the screen: another one while it is paused."""
        self._is_new = trio.Event()
        self._polling = trio.CancelScope()
        self._listening = trio.CancelScope()

    async def run(self) -> None:
        """Until somebody quits, or a signal says so. The terminal is then as it was."""
        with self._terminal.taken():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._poll)
                nursery.start_soon(self._listen)
                while not self.screen.is_done:
                    self._draw()
                    await self._is_new.wait()
                    self._is_new = trio.Event()
                self._polling.cancel()
                self._listening.cancel()
                # The sessions end now, which may take a moment; nobody should look at a dead screen for it.
                self._terminal.give_back()

    async def _poll(self) -> None:
        async with following(self._servers) as cluster:
            with self._polling:
                await self._ask_on_and_on(cluster)

    async def _ask_on_and_on(self, cluster: Cluster) -> NoReturn:
        await cluster.settle()
        while True:
            next_round = trio.current_time() + self._interval
            self._newest = self._history.observe(await cluster.sample(self._looked_at()))
            if not self.screen.is_paused:
                self._shown = self._newest
            self._is_new.set()
            await trio.sleep_until(next_round)

    def _looked_at(self) -> list[str]:
        """Znodes of the claim that is looked into."""
        claim = next((claim for claim in self._newest.claims if claim.id == self.screen.looks_at), None)
        if claim is None:
            return []
        contenders = [*claim.holders, *claim.waiting][:DETAILS_AT_ONCE]
        return [contender.znode for contender in contenders if contender.znode]

    async def _listen(self) -> None:
        with self._listening:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_keys)
                nursery.start_soon(self._heed_signals)

    async def _read_keys(self) -> None:
        while (keys := await self._terminal.pressed()) is not None:
            for key in keys:
                self.screen = press(self.screen, key, self._rows())
            if not self.screen.is_paused:
                self._shown = self._newest
            self._is_new.set()
        self._quit()

    def _rows(self) -> list[Claim]:
        return rows_of(self._shown.claims, self.screen)

    async def _heed_signals(self) -> None:
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async for number in signals:
                match number:
                    case signal.SIGWINCH:
                        self._terminal.forget()
                    case signal.SIGTSTP:
                        self._terminal.give_back()
                        os.kill(os.getpid(), signal.SIGSTOP)  # what Ctrl-Z does by itself; SIGCONT goes on below
                        continue
                    case signal.SIGCONT:
                        self._terminal.take()
                    case _:
                        self._quit()
                        return
                self._is_new.set()

    def _quit(self) -> None:
        self.screen = replace(self.screen, is_done=True)
        self._is_new.set()

    def _draw(self) -> None:
        self.frame = view(self._shown, self.screen, Size(*self._terminal.size), self._look)
        self._terminal.draw(self.frame)


async def look_once(servers: Sequence[Address], interval: float) -> tuple[Model, list[str]]:
    """Two samples, `interval` seconds apart, for there to be rates; and why some servers did not answer."""
    history = History()
    async with following(servers) as cluster:
        await cluster.settle()
        model = history.observe(await cluster.sample(()))
        if model.answering:
            await trio.sleep(interval)
            model = history.observe(await cluster.sample(()))
        problems = cluster.problems
    return model, problems
