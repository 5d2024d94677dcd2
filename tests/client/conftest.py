"""A real server for the tests that want one."""

import os

import pytest


@pytest.fixture
def server_address() -> str:
    """`host:port` of a server whose tree the test may write to, below a path of its own."""
    address = os.environ.get("COORD_TEST_SERVER")
    if not address:
        pytest.skip("COORD_TEST_SERVER is not set: no real server to test with")
    return address
