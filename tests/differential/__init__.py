"""The differential tester: the same steps at Debian's ZooKeeper and at coord, and everything they say compared.

    uv run python -m tests.differential --seeds 100 --steps 200

A seed draws *steps* (`draw`): plain data (`steps`), printable, and re-runnable from what was printed. `play` does them
at one server through sockets of its own (`wire`), so that malformed frames are possible, and writes down what each
client hears, with what must differ masked (`masks`). `compare` lines the two accounts up; what is known to differ, and
why, is listed by name in `known`. A failing seed is made smaller by `shrink`.
"""
