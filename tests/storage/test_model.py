"""The log against a list: any sequence of writes, truncations, stops, kills and power failures."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from coord.raft.ready import Persist
from coord.raft.stored import Stored
from coord.raft.types import HardState, Index, MemberId, Run, Term
from coord.storage.store import Store
from tests.storage.building import ME
from tests.storage.simulated import Crashed, SimulatedFiles, nothing, some

sizes = st.one_of(st.integers(0, 40), st.sampled_from([411, 412, 413, 700, 5000]))


class LogModel(RuleBasedStateMachine):
    """`runs` and `hard_state` are what the log must hold."""

    @initialize(segment_bytes=st.sampled_from([512, 1024, 4096]))
    def start(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.files = SimulatedFiles()
        self.runs: list[Run] = []
        self.hard_state = HardState(Term(0), None)
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.files, ME, self.segment_bytes)
        assert self.store.stored == Stored(self.hard_state, self.runs)

    def persists(self, data: st.DataObject) -> tuple[list[Persist], list[Run], HardState]:
        """A list of writes, and what the log holds after them."""
        runs, hard_state = list(self.runs), self.hard_state
        persists = []
        for token in range(data.draw(st.integers(1, 3))):
            new_state, first, added = None, None, []
            if data.draw(st.booleans()):
                vote = data.draw(st.sampled_from([None, 1, 3]))
                term = Term(hard_state.term + data.draw(st.integers(0, 2)))
                new_state = hard_state = HardState(term, None if vote is None else MemberId(vote))
            if data.draw(st.integers(0, 4)) == 0:
                first = Index(data.draw(st.integers(1, runs[-1].last + 2 if runs else 2)))
                runs = [run for run in runs if run.first < first]
            for _ in range(data.draw(st.integers(0, 3))):
                next_index = Index(runs[-1].last + 1 if runs else 1)
                size = data.draw(sizes)
                run = Run(next_index, data.draw(st.integers(1, 9)), hard_state.term, bytes([size % 256]) * size)
                runs.append(run)
                added.append(run)
            persists.append(Persist(token, new_state, first, added))
        return persists, runs, hard_state

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        persists, self.runs, self.hard_state = self.persists(data)
        self.store.write(persists)

    @rule()
    def stop(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def kill(self) -> None:
        self.files = self.files.after_kill()
        self.open()

    @rule()
    def lose_power(self) -> None:
        self.files = self.files.after_crash(nothing)
        self.open()

    @rule(data=st.data(), operations=st.integers(0, 3), seed=st.integers(0, 1000))
    def lose_power_while_writing(self, data: st.DataObject, operations: int, seed: int) -> None:
        persists, runs, hard_state = self.persists(data)
        self.files.crash_at = self.files.operations + operations
        try:
            self.store.write(persists)
        except Crashed:
            pass
        else:
            self.runs, self.hard_state = runs, hard_state
        self.files = self.files.after_crash(some(seed))
        store = Store.open(self.files, ME, self.segment_bytes)
        outcomes = [Stored(self.hard_state, self.runs), Stored(hard_state, runs)]
        assert store.stored in outcomes, "a batch is there as a whole or not at all"
        self.store, self.runs, self.hard_state = store, store.stored.runs, store.stored.hard_state


LogModel.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestLogModel = LogModel.TestCase
