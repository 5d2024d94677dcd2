"""The wire contract of ZooKeeper, and ours beyond it: what server and client share. No I/O, no dependencies.

errors      codes and exceptions: what can go wrong, and whether it may have happened
paths       what a znode may be called
jute        the encoding; records are compiled from their declarations
records     Stat, ACL, watch events
requests    every opcode and its records
multi       the framing of transactions
extensions  opcodes from 1000 on: status, leases, named sessions
frames      lengths, headers, special xids
"""
