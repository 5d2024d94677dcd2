"""A whole cluster in one process, under virtual time: same code, worst weather, and a judge that misses nothing.

    swarm                         what a seed is: cluster, machines, network, clients, faults
    run  shrink                   plays a seed: faults, healing, silence, verdict; makes a failing one smaller
    clock  trace                  virtual time; what happened, as a digest
    links  streams  disk          the network between members, the connections of clients, the disks
    process  writer               the real driver on a virtual hub, and on a virtual disk
    server  cluster  faults       machines that processes run on, and what is done to them
    session  client               clients on real wire bytes, and what their scripts are made of
    world  workloads              what they ask for
      registers  contenders
    invariants  leaseclock        what must hold after every turn
    sight  ledger  exclusivity    what one session may see, what the log owes to all, who may believe in a lock
    history  linearizability      is there an order that explains every answer?

Everything random comes from one `random.Random(seed)`, and everything happens on one heap of times: a seed is a run,
bit for bit. `coord sim --seed N` plays it again.
"""
