"""An event loop in a thread: what it ended of."""

import pytest
import trio

from coord.local.loop_thread import LoopThread


def ended_of(*failures: Exception) -> BaseException | None:
    """What a loop has ended of whose tasks fail so, all at once."""

    async def fail(failure: Exception) -> None:
        raise failure

    async def main(thread: LoopThread[None]) -> None:
        thread.started.set_result(None)
        async with trio.open_nursery() as nursery:
            for failure in failures:
                nursery.start_soon(fail, failure)

    thread = LoopThread(main, "test")
    thread.start()
    thread.join()
    return thread.ended.exception()


@pytest.mark.parametrize("tasks", [1, 2])
def test_one_failure_that_several_tasks_tell_of_is_itself(tasks: int) -> None:
    """A server's loop and whoever watches its disk may tell of it in one turn of trio's."""
    failure = OSError("no space")
    assert ended_of(*tasks * [failure]) is failure


def test_several_failures_are_all_told() -> None:
    ended = ended_of(OSError("no space"), ValueError("something else"))
    assert isinstance(ended, ExceptionGroup)
