"""The facade of the client's API for threads, made by rule, so that a new recipe needs no code here.

    async API                                       in a thread
    coroutine function                              function that waits
    plain function, property                        the same, run in the loop: it may touch what belongs to that
    attribute                                       the same
    `async with`, `async for`, `anext`              `with`, `for`, `next`
    object of the API: Lock, Held, Change, …        its facade
    value: str, Stat, NamedTuple, Enum, error, …    the same

An object of the API is one whose class is defined in `coord_client` and is no value's class; what contextlib
or Python made of one of its functions (context managers, iterators); and a tuple or list of such objects. A
facade's class is made from the class behind it, once, with its names, docstrings and signatures.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Final, Self

from coord_client.client import Client
from coord_client.sync.portal import Portal, the_portal
from coord_client.sync.scope import Scope


class Facade:
    """An object of the API, for threads. It has no state but the scopes that were entered with it."""

    __slots__ = ("__weakref__", "_portal", "_scopes", "_target")

    _api: type
    """The class behind this one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        portal = _portal_of(arguments, options)
        self._bind(portal, portal.call(self._api, *map(_behind, arguments), **_options_behind(options)))

    def _bind(self, portal: Portal, target: Any) -> None:
        self._portal = portal
        self._target = target
        self._scopes: list[Scope] = []

    def __getattr__(self, name: str) -> Any:
        """An attribute, as opposed to what the class has."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return in_front_of(getattr(self._target, name), self._portal)

    def __repr__(self) -> str:
        return repr(self._target)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facade) and bool(self._target == other._target)

    def __hash__(self) -> int:
        return hash(self._target)


class ClientFacade(Facade):
    """A client is open from its making on, so that it can be used without `with`, too."""

    __slots__ = ()

    @classmethod
    def opened(cls, manager: AbstractAsyncContextManager[Any]) -> Self:
        """The client that `manager` gives."""
        portal = the_portal()
        scope = Scope(portal, manager, is_client=True)
        facade: Self = in_front_of(scope.enter(), portal)
        facade._scopes.append(scope)
        return facade

    def close(self) -> None:
        """End the session: its ephemerals and locks are gone at once. Closing again does nothing.

        In a child after a fork, the session is the parent's: nothing is done, either.
        """
        while self._scopes:
            self._scopes.pop().leave(None)

    def __enter__(self) -> Self:
        self._portal.check()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


def in_front_of(value: Any, portal: Portal) -> Any:
    """A facade, if the value needs one."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind(in_front_of(each, portal) for each in value)
    try:
        made = _made[kind]
    except KeyError:
        made = facade_of(kind)
    if made is None:
        return value
    facade = made.__new__(made)
    facade._bind(portal, value)
    return facade


def facade_of(kind: type) -> type[Facade] | None:
    """The class of facades for objects of this class; None if those are values."""
    with _making:
        if kind not in _made:
            _made[kind] = _make(kind) if is_of_api(kind) else None
        return _made[kind]


def is_of_api(kind: type) -> bool:
    """Whether its objects act in the loop, so that threads need facades of them."""
    if issubclass(kind, (BaseException, Enum, tuple)):
        return False
    if kind.__module__.partition(".")[0] == "coord_client":
        parameters = getattr(kind, "__dataclass_params__", None)
        return parameters is None or not parameters.frozen
    return kind.__module__ == "contextlib" or hasattr(kind, "__anext__")


_made: dict[type, type[Facade] | None] = {}
_making = threading.RLock()  # or two threads could make two classes of one


def _make(kind: type) -> type[Facade]:
    root = ClientFacade if kind is Client else Facade
    bases = tuple(base for base in map(facade_of, kind.__bases__) if base is not None) or (root,)
    members: dict[str, Any] = {
        "__doc__": for_threads(kind.__doc__),
        "__module__": __package__,
        "__slots__": (),
        "_api": kind,
    }
    for name, member in vars(kind).items():
        if name in _SPECIAL:
            members |= _SPECIAL[name]
        elif isinstance(member, property):
            members[name] = property(_forwarding_read(name), doc=for_threads(member.__doc__))
        elif callable(member) and (not name.startswith("_") or name in _FORWARDED):
            members[name] = _forwarding(name, member)
        elif isinstance(member, classmethod | staticmethod):
            members[name] = staticmethod(_forwarding_static(getattr(kind, name)))
    return type(kind.__name__, bases, members)


# The members of a facade's class.


def _forwarding(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @_looks_like(function)
    def forward(self: Facade, *arguments: Any, **options: Any) -> Any:
        bound = getattr(self._target, name)
        result = self._portal.call(bound, *map(_behind, arguments), **_options_behind(options))
        return self if result is self._target else in_front_of(result, self._portal)

    return forward


def _forwarding_read(name: str) -> Callable[[Facade], Any]:
    def read(self: Facade) -> Any:
        return in_front_of(self._portal.call(getattr, self._target, name), self._portal)

    return read


def _forwarding_static(function: Callable[..., Any]) -> Callable[..., Any]:
    @_looks_like(function)
    def forward(*arguments: Any, **options: Any) -> Any:
        portal = _portal_of(arguments, options)
        return in_front_of(portal.call(function, *map(_behind, arguments), **_options_behind(options)), portal)

    return forward


def _looks_like(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `functools.wraps`, also for what is written in C and has no `__dict__`."""

    def decorate(forward: Callable[..., Any]) -> Callable[..., Any]:
        named = functools.wraps(function, assigned=("__name__", "__qualname__"), updated=())(forward)
        named.__doc__ = for_threads(function.__doc__)
        return named

    return decorate


def for_threads(doc: str | None) -> str | None:
    """A docstring of the async API, as it is to be read here."""
    if doc is None:
        return None
    return doc.replace("async with", "with").replace("async for", "for").replace("await ", "")


def _enter(self: Facade) -> Any:
    scope = Scope(self._portal, self._target)
    value = scope.enter()
    self._scopes.append(scope)
    return self if value is self._target else in_front_of(value, self._portal)


def _exit(self: Facade, kind: object, error: BaseException | None, trace: object) -> bool:
    return self._scopes.pop().leave(error)


def _exit_plain(self: Facade, *error: Any) -> Any:
    return self._portal.call(self._target.__exit__, *error) if self._portal.is_usable else None


def _next(self: Facade) -> Any:
    try:
        return in_front_of(self._portal.call(self._target.__anext__), self._portal)
    except StopAsyncIteration:
        raise StopIteration from None


_SPECIAL: Final[dict[str, dict[str, Any]]] = {
    "__aenter__": {"__enter__": _enter},
    "__aexit__": {"__exit__": _exit},
    "__exit__": {"__exit__": _exit_plain},
    "__aiter__": {"__iter__": _forwarding("__aiter__", lambda self: self)},
    "__anext__": {"__next__": _next},
}
_FORWARDED: Final = frozenset({"__bool__", "__contains__", "__enter__", "__getitem__", "__iter__", "__len__"})


# What goes in.


def _behind(given: Any) -> Any:
    """An argument as the async API takes it."""
    return given._target if isinstance(given, Facade) else given


def _options_behind(options: dict[str, Any]) -> dict[str, Any]:
    return {name: _behind(given) for name, given in options.items()} if options else options


def _portal_of(arguments: tuple[Any, ...], options: dict[str, Any]) -> Portal:
    for given in (*arguments, *options.values()):
        if isinstance(given, Facade):
            return given._portal
    return the_portal()


def mirrored(exported: Any) -> Any:
    """What a module of the API exports, for threads."""
    made = facade_of(exported) if isinstance(exported, type) else None
    return exported if made is None else made
