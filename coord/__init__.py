"""coord: a coordination service in the style of ZooKeeper."""

__version__ = "0.1.0"
"""Here, and not asked of the installation, which would take a tenth of a start."""
