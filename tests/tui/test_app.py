"""`coord top` in a real terminal, on a real cluster: what it shows, what keys do, and what it leaves behind."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from kazoo.client import KazooClient

from coord.local.cluster import running
from coord_client import connect
from tests.tui.tmux import PROMPT, Terminal, terminal

pytestmark = pytest.mark.e2e

LOCK = "/reports/nightly"


@asynccontextmanager
async def watching(servers: str, window: Terminal, *options: str) -> AsyncIterator[Terminal]:
    await window.enter(f"{sys.executable} -m coord top --servers {servers} {' '.join(options)}")
    await window.until_shown("coord top", "leads")
    yield window


async def assert_quits(window: Terminal, before: str) -> None:
    """The shell is back, on its own screen, with its cursor and its settings."""
    await window.until_prompt()
    assert await window.modes() == (False, True)
    assert "coord top  " not in await window.screen(), "what was on the alternate screen is gone"
    assert await window.settings() == before


async def test_locks_of_kazoo_and_of_ours_are_shown_with_their_queue(tmp_path: Path) -> None:
    """One lock, contended for by clients of both kinds; looked into, filtered, sorted, paused, and handed over."""
    async with running(tmp_path) as servers, terminal() as window:
        before = await window.settings()
        kazoo = KazooClient(servers.servers)
        await trio.to_thread.run_sync(kazoo.start)
        theirs = kazoo.Lock(LOCK, "a kazoo client")
        assert await trio.to_thread.run_sync(theirs.acquire)
        async with connect(servers.servers, name="w2") as client, trio.open_nursery() as nursery:

            async def wait_for_it() -> None:
                async with client.lock(LOCK):
                    await trio.sleep_forever()

            nursery.start_soon(wait_for_it)
            async with watching(servers.address(1), window):
                await window.until_shown("3 of 3 answer", LOCK, "1: w2")

                await window.press("Enter")
                await window.until_shown(f"lock {LOCK} · 1 waiting", "holds  127.0.0.1", "its data is a kazoo client")
                await window.press("Escape")
                await window.until_shown("HELD 1 ")

                await window.enter("/nothing like it")
                await window.until_shown('filter "nothing like it"', "nothing matches")
                await window.press("Escape")
                await window.press("s")
                await window.until_shown("by remaining", LOCK)
                await window.press("?")
                await window.until_shown("esc goes back")
                await window.press("?", "p")
                await window.until_shown("PAUSED", LOCK)

                await trio.to_thread.run_sync(theirs.release)
                await window.press("p")
                await window.until_shown(f"{LOCK} went from 127.0.0.1", "to w2: it was released")

                await window.press("q")
                await assert_quits(window, before)
            nursery.cancel_scope.cancel()
        await trio.to_thread.run_sync(kazoo.stop)
        await trio.to_thread.run_sync(kazoo.close)


async def test_it_goes_on_when_the_server_that_it_was_given_dies(tmp_path: Path) -> None:
    """Also the leader, also all of them; and it finds them when they are back."""
    async with running(tmp_path) as servers, terminal() as window:
        leader = await servers.leader()
        async with watching(servers.address(leader), window):
            await window.until_shown("3 of 3 answer")

            await servers.kill(leader)
            await window.until_shown("2 of 3 answer", "no answer", "leads term", f"the connection to member {leader}")

            for member in list(servers.processes):
                await servers.kill(member)
            await window.until_shown("no server answers for")

            await servers.start()
            await window.until_shown("3 of 3 answer")
            await window.press("q")
            await window.until_prompt()


async def test_it_stops_and_goes_on_as_the_shell_says(tmp_path: Path) -> None:
    """Ctrl-Z gives the terminal back; `fg` takes it again and draws anew."""
    async with running(tmp_path, 1) as servers, terminal() as window:
        before = await window.settings()
        async with watching(servers.servers, window):
            await window.press("C-z")
            assert "Stopped" in await window.until_prompt()
            assert await window.modes() == (False, True)
            assert await window.settings() == before
            await window.enter("fg")
            await window.until(lambda screen: "1 of 1 answer" in screen and PROMPT not in screen)
            assert await window.modes() == (True, False)
            await window.press("q")
            await assert_quits(window, before)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_signals_end_it_in_order(tmp_path: Path, which: signal.Signals) -> None:
    async with running(tmp_path, 1) as servers, terminal() as window:
        before = await window.settings()
        async with watching(servers.servers, window):
            os.kill(await window.program(), which)
            await assert_quits(window, before)
        async with connect(servers.servers, name="looks on") as client:
            assert [right.name for right in await client.leases("session")] == ["looks on"], "its session was ended"


async def test_it_fits_every_size_that_the_terminal_takes(tmp_path: Path) -> None:
    async with running(tmp_path, 1) as servers, terminal(160, 50) as window, watching(servers.servers, window):
        await window.until_shown("disk p50")
        for width, height in ((60, 20), (80, 24), (120, 40)):
            await window.resize(width, height)

            def fits(screen: str, width: int = width, height: int = height) -> bool:
                lines = screen.split("\n")[:height]
                return lines[0].startswith(" coord top") and "quit" in lines[-1] and max(map(len, lines)) <= width

            await window.until(fits)
        await window.press("q")
        await window.until_prompt()


async def test_a_terminal_without_utf8_gets_ascii(tmp_path: Path) -> None:
    async with (
        running(tmp_path, 1) as servers,
        terminal(PYTHONIOENCODING="ascii") as window,
        watching(servers.servers, window),
    ):
        screen = await window.until_shown("1 of 1 answer")
        assert screen.isascii()
        await window.press("q")
        await window.until_prompt()


async def test_the_last_screen_is_saved_as_an_image(tmp_path: Path) -> None:
    image = tmp_path / "top.svg"
    async with (
        running(tmp_path, 1) as servers,
        terminal() as window,
        watching(servers.servers, window, f"--svg {image}"),
    ):
        await window.until_shown("1 of 1 answer")
        await window.press("q")
        await window.until_prompt()
    assert "member&#160;1&#160;leads" in image.read_text(encoding="utf-8")
