"""Clusters on this machine, for applications, tests and demonstrations.

embedded        one member in this very process: `coord.embedded()`
  first_write   how long that takes
cluster         members as processes of their own: killed, stopped, paused, started again
  network       what is between them, to be cut
  blocking      the same for code that does not await: `coord.Cluster`
pytest_plugin   both as fixtures: `coord_server` and `coord_cluster`

loop_thread     an event loop beside the code that uses it
processes  ports  words
                starting and ending processes, where they listen, a look at a server from outside
"""
