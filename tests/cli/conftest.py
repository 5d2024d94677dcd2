"""Servers for the command line's tests: one of each kind for the whole run."""

from tests.client.conftest import coord_address, zookeeper_address

__all__ = ["coord_address", "zookeeper_address"]
