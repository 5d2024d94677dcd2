"""Tests of `coord.backup`."""
