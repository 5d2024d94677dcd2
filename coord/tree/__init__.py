"""The replicated state machine: what the log's commands do, identically on every member.

*Replicated*, changed only by `Machine.apply` in log order: the znodes (`tree`, `znode`), sessions and leases
with their keys (`leases`), the lease clock, the cluster's id and secret, the members' advertised addresses,
and per member the number of the last command taken from it (`machine`). `Machine.digest` covers all of it.

*Local*, different on every server and never in the log: the watch tables (`watches`), and what is merely
remembered to be quick: encoded replies (`Znode.body`), decoded and shared ACLs (`acl`), the lower bound of
all deadlines (`leases`).

    commands      the log's own encoding: how a command, a block and a run look in bytes
    machine       apply: runs → blocks → commands → outcomes
    transactions  create, delete, set_data, set_acl, check: who may, which error wins
    multi         several of them as one, all or nothing
    snapshots     all of it in pieces, from a frozen view, and back
    acl           who may do what to a znode

Nothing here reads a clock or rolls dice: time comes with the run, stamped by the leader. Nothing here raises
for what a client did wrong: an outcome is a value, and a negative int is an error code (`outcomes`), since an
exception would cost as much as the command.
"""
