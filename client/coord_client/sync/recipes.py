"""The recipes of `coord_client.recipes` for threads, by the same names: see `coord_client.sync`."""

from typing import Any

from coord_client import recipes
from coord_client.sync.facade import mirrored

__all__ = recipes.__all__


def __getattr__(name: str) -> Any:
    return mirrored(getattr(recipes, name))
