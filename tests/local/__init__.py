"""Tests of `coord.local`."""
