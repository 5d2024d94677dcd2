"""How many files and sockets this process has open, and how many it may: what a server runs out of first."""

import os
import resource


def open_file_descriptors() -> int:
    """Lists a directory: meant for a look now and then, not for every turn."""
    return len(os.listdir("/dev/fd")) - 1  # without the one that is open for listing


def max_file_descriptors() -> int:
    """The soft limit; -1 if there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return -1 if limit == resource.RLIM_INFINITY else limit
