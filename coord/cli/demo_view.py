"""The demo on a terminal: a pure function of its state."""

from collections.abc import Sequence

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from coord.cli.demo_pool import SESSION_TIMEOUT
from coord.cli.demo_state import NOTES_KEPT, Health, Member, State

BAR_WIDTH = 50
STYLES = {Health.RUNS: "", Health.KILLED: "bold red", Health.STOPPED: "bold yellow"}
LEADS = "bold cyan"


def view(state: State) -> RenderableType:
    """Servers, workers, progress, and the last notes: in all no more than 24 lines of 80 columns."""
    return Group(
        Columns([_members(state), _workers(state)], padding=(0, 2)),
        _progress(state),
        Panel(Text("\n".join(state.notes)), title="events", title_align="left", height=NOTES_KEPT + 2),
    )


def _members(state: State) -> Table:
    table = Table("member", "role", title="cluster", title_justify="left", box=box.SIMPLE)
    table.add_column("term", justify="right")
    table.add_column("commit", justify="right")
    for number, member in state.members.items():
        table.add_row(str(number), *_status(member))
    return table


def _status(member: Member) -> Sequence[RenderableType]:
    status = member.status
    if member.health is not Health.RUNS:
        return Text(member.health, style=STYLES[member.health]), "", ""
    if status is None:
        return Text("no answer", style="dim"), "", ""
    role = Text(status["role"], style=LEADS if status["role"] == "leader" else "")
    return role, str(status["term"]), str(status["commit_index"])


def _workers(state: State) -> Table:
    table = Table("worker", "process", title="pool", title_justify="left", box=box.SIMPLE)
    table.add_column("token", justify="right")
    table.add_column("done", justify="right")
    for name, worker in state.workers.items():
        token = Text(str(state.token), style=LEADS) if name == state.leader else ""
        table.add_row(name, Text(worker.health, style=STYLES[worker.health]), token, str(worker.done))
    return table


def _progress(state: State) -> Table:
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=state.jobs, completed=state.results, width=BAR_WIDTH)
    grid.add_row("jobs done", bar, f"{state.results} of {state.jobs}")
    return grid


def summary(state: State, faults: Sequence[str]) -> RenderableType:
    """The verdict, and how long the hand-overs took."""
    table = Table(show_header=False, box=box.SIMPLE)
    for hand_over in state.hand_overs:
        table.add_row(hand_over.end, f"{hand_over.seconds:.2f}")
    if faults:
        verdict = Text("\n".join(["jobs were not done exactly once:", *faults]), style="bold red")
    else:
        verdict = Text(
            f"{state.jobs} jobs, {state.results} results, none twice: each was done exactly once.", style="bold green"
        )
    heading = f"seconds until another led; a worker's session ends after {SESSION_TIMEOUT:g} s of silence"
    return Group(heading, table, verdict)
