"""Moving in: what ZooKeeper 3.4 to 3.9 left on its disk becomes a state that a cluster of ours can go on from.

    files       which snapshot and which logs there are, and which of them count
    jute        how their fields are read, and where they are not what ZooKeeper writes
    snapshot    a snapshot: sessions, ACLs, znodes, checksums
    log         a log: one transaction after another, a torn end, damage
    transaction what one of them says
    old_tree    the tree as ZooKeeper has it, and what transactions do to it
    arrival     from there to `coord.tree`, for `coord.backup.founding` to go on with

Nothing of theirs is changed or locked: the server that wrote them must not run, or they are to be a copy.
"""
