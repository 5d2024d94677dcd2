"""A tenure ends before the right behind it, and what it has told once stays so."""

import anyio

from coord_client.tenure import Tenure
from tests.client.backends import block, on_both_backends


@on_both_backends
async def test_work_goes_on_while_the_right_is_confirmed() -> None:
    tenure = Tenure(anyio.current_time() + 2.0)
    with tenure.scope:
        for _ in range(5):
            await anyio.sleep(1.0)
            tenure.extend(anyio.current_time() + 2.0)

    assert tenure.lost is None


@on_both_backends
async def test_a_confirmation_after_the_deadline_changes_nothing() -> None:
    """The work may have been cancelled by then: taken for good, it would look as if it had been done."""
    deadline = anyio.current_time() + 2.0
    tenure = Tenure(deadline, rests_on="lease")
    with tenure.scope:
        block(3.0)
        tenure.extend(anyio.current_time() + 60.0)

    assert tenure.deadline == deadline
    assert tenure.lost == "the lease could not be confirmed in time"


@on_both_backends
async def test_the_first_reason_is_kept() -> None:
    tenure = Tenure(anyio.current_time() + 2.0)
    with tenure.scope:
        tenure.end("it was revoked")
        tenure.end("the client was closed")
        await anyio.sleep(600)

    assert tenure.lost == "it was revoked"
