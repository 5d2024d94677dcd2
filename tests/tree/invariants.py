"""What must hold after every run, whatever the commands were (RELIABILITY §4)."""

from coord.tree.machine import Machine
from coord.tree.tree import SYSTEM_PATHS
from coord.tree.znode import Znode
from coord_protocol.paths import is_valid_path, parent_of
from coord_protocol.records import STAT_STRUCT


def check_invariants(machine: Machine) -> None:
    znodes = machine.znodes
    children_of: dict[str, set[str]] = {path: set() for path in znodes}
    for path in znodes:
        assert is_valid_path(path)
        if path != "/":
            assert parent_of(path) in znodes, f"{path} has no parent"
            children_of[parent_of(path)].add(path)
    for path, znode in znodes.items():
        _check_znode(machine, path, znode, children_of[path])
    _check_leases(machine)


def _check_znode(machine: Machine, path: str, znode: Znode, children: set[str]) -> None:
    assert set(znode.children or ()) == children, f"{path} does not know its children"
    assert znode.child_count == len(children)
    assert znode.children is None or znode.children, "an empty dict of children only costs memory"
    stat = STAT_STRUCT.unpack(znode.stat_bytes())
    assert (stat[5] - (2 * znode.creates - len(children))) % 2**32 == 0, f"cversion of {path}"
    assert 0 <= znode.czxid <= znode.mzxid <= machine.applied_index
    assert znode.czxid <= znode.pzxid <= machine.applied_index
    if path not in SYSTEM_PATHS:
        assert znode.creates >= len(children)
    if znode.owner:
        assert not children, f"{path} ends with its owner and has children"
        owner = machine.leases.table.get(znode.owner)
        assert owner is not None, f"{path} outlives its owner (ZOOKEEPER-1208)"
        assert path in owner.keys
    if znode.body is not None:
        assert znode.body.endswith(znode.stat_bytes()), f"a stale reply of {path} is cached"


def _check_leases(machine: Machine) -> None:
    leases = machine.leases
    for lease in leases.table.values():
        assert lease.deadline_ms >= machine.clock_ms, f"{lease.kind} {lease.id} should have ended"
        assert leases.bound_ms <= lease.deadline_ms
        assert lease.keys_in_order() == sorted(lease.keys, key=lambda path: lease.keys[path])
        assert all(order < lease.keys_made for order in lease.keys.values())
        for path in lease.keys:
            assert machine.znodes[path].owner == lease.id
