"""Clusters on this machine, for applications, tests and demonstrations.

embedded        one member in this very process: `coord.embedded()`
cluster         members as processes of their own: killed, stopped, paused, started again
  network       the network between them, to be cut
  blocking      the same for code that does not await
pytest_plugin   both as fixtures: `coord_server` and `coord_cluster`
processes       what is needed for it: processes,
  ports         ports,
  words         and a look at a server from outside
"""
