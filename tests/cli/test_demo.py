"""`coord demo`: its story comes to a good end, nothing of it is left behind, and the view shows what is known."""

from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from coord.cli.demo_state import HandOver, Health, Member, State, Worker
from coord.cli.demo_view import summary, view
from tests.cli.processes import coord


@pytest.mark.e2e
async def test_demo_survives_three_leaders_and_does_each_job_once(tmp_path: Path) -> None:
    async with coord("demo", directory=tmp_path) as demo:
        status = await demo.wait()

        printed = "\n".join(demo.printed)
        assert status == 0, printed
        assert "120 jobs, 120 results, none twice: each was done exactly once." in printed
        for part in ("kill -9 w", "kill -STOP w", "was refused", "kill -9 member", "is back"):
            assert part in printed
        assert demo.processes_left() == []
        assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
async def test_demo_leaves_nothing_behind_when_it_is_interrupted(tmp_path: Path) -> None:
    async with coord("demo", directory=tmp_path) as demo:
        await demo.until_printed("leads the pool")
        assert len(demo.processes_left()) == 8  # three servers, four workers, and itself

        status = await demo.interrupt()

        assert status == 1
        assert demo.printed[-1] == "Aborted!"
        assert demo.processes_left() == []
        assert list(tmp_path.iterdir()) == []


def text_of(shown: RenderableType) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


async def test_view_shows_members_workers_and_progress() -> None:
    state = State({1: Member("127.0.0.1:1"), 2: Member("127.0.0.1:2"), 3: Member("127.0.0.1:3")}, 40, lambda note: None)
    state.members[1].status = {"role": "leader", "term": 7, "commit_index": 1234}
    state.members[2].health = Health.KILLED
    state.workers = {"w1": Worker(Health.STOPPED, done=3), "w2": Worker(done=9)}
    state.leader, state.token, state.results = "w2", 99, 12
    state.note("w2 leads the pool")

    rows = [line.split() for line in text_of(view(state)).splitlines()]

    assert len(rows) <= 24, "rich would cut off what does not fit on a terminal"
    assert ["1", "leader", "7", "1234", "w1", "stopped", "3"] in rows
    assert ["2", "killed", "w2", "runs", "99", "9"] in rows
    assert ["3", "no", "answer"] in rows
    assert any(row[-3:] == ["12", "of", "40"] for row in rows)
    assert any("w2 leads the pool" in " ".join(row) for row in rows)


async def test_summary_names_the_jobs_that_went_wrong() -> None:
    state = State({}, 40, lambda note: None, hand_overs=[HandOver("worker that leads is killed", 3.456)])

    shown = text_of(summary(state, ["written twice: job-0000000007"]))

    assert "worker that leads is killed   3.46" in shown
    assert "not done exactly once" in shown
    assert "written twice: job-0000000007" in shown


async def test_the_raft_leader_is_that_of_the_newest_term() -> None:
    """An old leader that was cut off may still think that it leads."""
    state = State({1: Member(""), 2: Member(""), 3: Member("")}, 40, lambda note: None)
    assert state.raft_leader is None

    state.members[1].status = {"role": "leader", "term": 2}
    state.members[2].status = {"role": "leader", "term": 3}

    assert state.raft_leader == 2
