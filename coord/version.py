"""The release, told by every part of the house."""

__version__ = "0.1.0"
"""Here, and not asked of the installation, which would take a tenth of a start."""
