"""A real terminal for tests: tmux without a window, whose keys are pressed and whose screen is read."""

import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

PATIENCE = 30.0  # seconds; only a test that fails waits so long
PROMPT = "the shell is back>"


class Terminal:
    """One shell in one window."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    async def run(self, *arguments: str) -> str:
        """A tmux command; its output."""
        done = await trio.run_process(["tmux", "-L", self._socket, *arguments], capture_stdout=True)
        return done.stdout.decode()

    async def press(self, *keys: str) -> None:
        """By tmux's names: Enter, Escape, Up, C-z; other words are typed as they are."""
        await self.run("send-keys", *keys)

    async def enter(self, line: str) -> None:
        """Type it and press return."""
        await self.run("send-keys", "-l", line)
        await self.press("Enter")

    async def resize(self, width: int, height: int) -> None:
        await self.run("resize-window", "-x", str(width), "-y", str(height))

    async def screen(self) -> str:
        return await self.run("capture-pane", "-p")

    async def until(self, condition: Callable[[str], bool]) -> str:
        """The first screen of which it is true."""
        screen = ""
        with trio.move_on_after(PATIENCE):
            while True:
                screen = await self.screen()
                if condition(screen):
                    return screen
                await trio.sleep(0.05)
        raise AssertionError(f"waited {PATIENCE:g} s in vain; the screen is\n{screen}")

    async def until_shown(self, *texts: str) -> str:
        return await self.until(lambda screen: all(text in screen for text in texts))

    async def until_prompt(self) -> str:
        """The shell waits for a command: its prompt is the last that is there, and nothing follows it."""
        return await self.until(lambda screen: screen.rstrip().endswith(PROMPT))

    async def program(self) -> int:
        """The process id of what the shell runs in front; its own if it runs nothing."""
        shell = int(await self.run("display-message", "-p", "#{pane_pid}"))
        children = await trio.run_process(["ps", "-o", "pid=", "--ppid", str(shell)], capture_stdout=True, check=False)
        return int(children.stdout.split()[0]) if children.stdout.strip() else shell

    async def settings(self) -> str:
        """Of the terminal, as `stty` tells them."""
        device = (await self.run("display-message", "-p", "#{pane_tty}")).strip()
        return (await trio.run_process(["stty", "-a", "-F", device], capture_stdout=True)).stdout.decode()

    async def modes(self) -> tuple[bool, bool]:
        """Whether the alternate screen is on, and whether the cursor is shown."""
        alternate, cursor = (await self.run("display-message", "-p", "#{alternate_on} #{cursor_flag}")).split()
        return alternate == "1", cursor == "1"


@asynccontextmanager
async def terminal(width: int = 100, height: int = 30, **environment: str) -> AsyncIterator[Terminal]:
    if shutil.which("tmux") is None:
        assert "COORD_REQUIRE_ALL_TESTS" not in os.environ, "the gate installs tmux, and must not go on without"
        pytest.skip("tmux is not installed: apt-get install tmux")
    socket = f"coord-{uuid.uuid4().hex}"
    # Without line editing, which has terminal settings of its own that come and go.
    shell = f"PS1='{PROMPT}' exec bash --norc --noprofile --noediting -i"
    env = os.environ | {"LC_ALL": "C.UTF-8", "HISTFILE": ""} | environment
    await trio.run_process(
        [*("tmux", "-L", socket, "-f", os.devnull, "new-session", "-d"), *("-x", str(width), "-y", str(height)), shell],
        env={key: value for key, value in env.items() if key not in ("TMUX", "TMUX_PANE")},
    )
    window = Terminal(socket)
    try:
        await window.until_prompt()
        yield window
    finally:
        with trio.CancelScope(shield=True):
            subprocess.run(["tmux", "-L", socket, "kill-server"], check=False)
