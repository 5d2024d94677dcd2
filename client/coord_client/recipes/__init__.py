"""Recipes: what people build from znodes, one file each. They know a `Client`, and nothing of the wire."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coord_client.recipes.barrier import Barrier
    from coord_client.recipes.config_cache import ConfigCache
    from coord_client.recipes.counter import Added, Counter
    from coord_client.recipes.discovery import Service, ServiceRegistry
    from coord_client.recipes.double_barrier import DoubleBarrier
    from coord_client.recipes.election import Election, Leadership
    from coord_client.recipes.holding import Held
    from coord_client.recipes.key_value_map import KeyValueMap
    from coord_client.recipes.lock import Lock
    from coord_client.recipes.locking_queue import Item, LockingQueue
    from coord_client.recipes.party import Member, Party
    from coord_client.recipes.queue import Queue
    from coord_client.recipes.queueing import Contender
    from coord_client.recipes.read_write_lock import ReadWriteLock
    from coord_client.recipes.semaphore import Semaphore
    from coord_client.recipes.tree_cache import TreeCache

__all__ = [
    "Added",
    "Barrier",
    "ConfigCache",
    "Contender",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Held",
    "Item",
    "KeyValueMap",
    "Leadership",
    "Lock",
    "LockingQueue",
    "Member",
    "Party",
    "Queue",
    "ReadWriteLock",
    "Semaphore",
    "Service",
    "ServiceRegistry",
    "TreeCache",
]

# Loaded when first asked for: a program that wants a lock need not load the rest.
_MODULES: Final = {
    "Added": "counter",
    "Barrier": "barrier",
    "ConfigCache": "config_cache",
    "Contender": "queueing",
    "Counter": "counter",
    "DoubleBarrier": "double_barrier",
    "Election": "election",
    "Held": "holding",
    "Item": "locking_queue",
    "KeyValueMap": "key_value_map",
    "Leadership": "election",
    "Lock": "lock",
    "LockingQueue": "locking_queue",
    "Member": "party",
    "Party": "party",
    "Queue": "queue",
    "ReadWriteLock": "read_write_lock",
    "Semaphore": "semaphore",
    "Service": "discovery",
    "ServiceRegistry": "discovery",
    "TreeCache": "tree_cache",
}

if not TYPE_CHECKING:  # a checker that saw it would believe in every name

    def __getattr__(name: str) -> object:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{module}"), name)
