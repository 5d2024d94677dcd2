"""Writes the stubs of `coord_client.sync`, from which type checkers and editors know its signatures.

    uv run python -m tests.client.sync_stubs

The facade is made while a program runs (`coord_client.sync.facade`), where no type checker looks. So what its rule
makes of each class is written down here as well: the declarations of the async classes, with `def` for `async def`,
`Iterator` for `AsyncIterator`, and so on. Only declarations: there is no second implementation. `test_sync_stubs`
fails while the stubs are not what this writes.

A stub has the classes that `coord_client` and `coord_client.recipes` export, and, with an underscore, those that
their functions give. An attribute's type is that of the argument or literal it is set to in `__init__`, or its
annotation; else it is `Any`.
"""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import coord_client
from coord_client import recipes
from coord_client.sync import facade

DIRECTORY: Final = Path(inspect.getfile(facade)).parent
TARGETS: Final = {"coord_client.sync": "__init__.pyi", "coord_client.sync.recipes": "recipes.pyi"}
HEAD: Final = '"""{}\n\nWritten by `uv run python -m tests.client.sync_stubs`; do not edit."""\n'

_RENAMED: Final = {
    "AbstractAsyncContextManager": ("contextlib", "AbstractContextManager"),
    "AsyncGenerator": ("collections.abc", "Iterator"),
    "AsyncIterable": ("collections.abc", "Iterable"),
    "AsyncIterator": ("collections.abc", "Iterator"),
}
_DUNDERS: Final = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__exit__": "__exit__",
    "__init__": "__init__",
    **{name: name for name in facade._FORWARDED},
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """A module of the async API, as text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        self.imports: dict[str, tuple[str, str | None]] = {}
        for found in ast.walk(self.tree):
            if isinstance(found, ast.ImportFrom) and found.module:
                self.imports |= {each.asname or each.name: (found.module, each.name) for each in found.names}
            elif isinstance(found, ast.Import):
                self.imports |= {each.asname or each.name: (each.name, None) for each in found.names}

    def declaration(self, name: str) -> Any:
        """Of a class or function at the top."""
        return next(each for each in self.tree.body if getattr(each, "name", None) == name)

    def home_of(self, name: str) -> tuple[str, str | None]:
        """The module and the name there; None if the name is that of the module."""
        return self.imports.get(name, (self.name, name))


source_of = cache(Source)


class Stub:
    """One file in the making."""

    def __init__(self, target: str, stubs: "Stubs") -> None:
        self.target = target
        self._stubs = stubs
        self.foreign: set[str] = set()
        """Classes of the API that were named, and have no stub, since no function gives them."""
        self._imports: dict[str, str] = {}
        self._values: dict[str, object] = {}
        self._bodies: list[str] = []

    def import_value(self, name: str, module: str, original: str | None) -> str:
        """Make sure that the stub has it. Returns the name it has there: another one if two modules use one name."""
        home = importlib.import_module(module)
        value = home if original is None else getattr(home, original)
        previous = self._values.setdefault(name, value)
        if previous is not value and not _are_alike(previous, value):
            return self.import_value(f"{module.rpartition('.')[2]}_{name}", module, original)
        alias = "" if name == original else f" as {name}"
        line = f"import {module}" if original is None else f"from {module} import {original}{alias}"
        self._imports.setdefault(name, line)
        return name

    def reserve(self, name: str, kind: type) -> None:
        """The name is that of a facade which is declared here."""
        self._values[name] = kind

    def import_facade(self, name: str, target: str) -> None:
        """The same for a class of another stub."""
        self._imports[name] = f"from {target} import {name}"

    def add(self, declaration: ast.stmt) -> None:
        """A class or function."""
        self._bodies.append(ast.unparse(ast.fix_missing_locations(declaration)))

    def text(self) -> str:
        """The file, in the house's format."""
        module = importlib.import_module(self.target)
        doc = (module.__doc__ or "").partition("\n")[0]
        exported = f"__all__ = {module.__all__!r}"
        return _formatted("\n".join([HEAD.format(doc), *sorted(self._imports.values()), exported, *self._bodies]))

    # Types.

    def type_of(self, annotation: ast.expr, source: Source, *, is_result: bool) -> ast.expr:
        """The annotation, as threads see it."""
        copied = ast.parse(ast.unparse(annotation), mode="eval").body
        seen: ast.expr = _Types(self, self._stubs, source, is_result=is_result).visit(copied)
        return seen


def _are_alike(one: object, other: object) -> bool:
    """Every module has its own `T`."""
    if not isinstance(one, TypeVar) or not isinstance(other, TypeVar):
        return False
    return (one.__bound__, one.__constraints__) == (other.__bound__, other.__constraints__)


class _Types(ast.NodeTransformer):
    """Rewrites an annotation, and imports what it names."""

    def __init__(self, stub: Stub, stubs: "Stubs", source: Source, *, is_result: bool) -> None:
        self._stub = stub
        self._stubs = stubs
        self._source = source
        self._is_result = is_result

    def visit_Subscript(self, found: ast.Subscript) -> ast.expr:
        name = found.value.id if isinstance(found.value, ast.Name) else ""
        if name == "Literal":
            self.visit(found.value)
            for named in ast.walk(found.slice):  # members of enums; strings in it are no annotations
                if isinstance(named, ast.Name):
                    self.visit(named)
            return found
        if name == "AsyncGenerator" and isinstance(found.slice, ast.Tuple):
            found.slice = found.slice.elts[0]  # what is sent to it is no part of an Iterator
        self.generic_visit(found)
        return found

    def visit_Constant(self, found: ast.Constant) -> ast.expr:
        if isinstance(found.value, str):
            quoted: ast.expr = self.visit(ast.parse(found.value, mode="eval").body)
            return quoted
        return found

    def visit_Name(self, found: ast.Name) -> ast.expr:
        if self._is_result and found.id in _RENAMED:
            module, name = _RENAMED[found.id]
            self._stub.import_value(name, module, name)
            return ast.Name(name)
        module, original = self._source.home_of(found.id)
        if original is not None and not hasattr(importlib.import_module(module), original):
            return found  # a builtin
        value = importlib.import_module(module)
        if original is not None:
            value = getattr(value, original)
        if isinstance(value, type) and facade.is_of_api(value) and value.__module__.startswith("coord_client."):
            place = self._stubs.place_of(value, may_add=self._is_result)
            if place is not None:
                target, name = place
                if target != self._stub.target:
                    self._stub.import_facade(name, target)
                return ast.Name(name)
            self._stub.foreign.add(found.id)
        return ast.Name(self._stub.import_value(found.id, module, original))


class Stubs:
    """All of them."""

    def __init__(self) -> None:
        self._by_target = {target: Stub(target, self) for target in TARGETS}
        self._names: dict[type, tuple[str, str]] = {}
        self._to_write: list[type] = []

    def place_of(self, kind: type, *, may_add: bool) -> tuple[str, str] | None:
        """The stub that has the class, and its name there."""
        if kind not in self._names and may_add:
            is_recipe = kind.__module__.startswith("coord_client.recipes.")
            target = "coord_client.sync.recipes" if is_recipe else "coord_client.sync"
            self._add(kind, target, f"_{kind.__name__.lstrip('_')}")
        return self._names.get(kind)

    def _add(self, kind: type, target: str, name: str) -> None:
        self._names[kind] = (target, name)
        self._to_write.append(kind)
        self._by_target[target].reserve(name, kind)

    def written(self) -> dict[Path, str]:
        """Files and their text."""
        main = self._by_target["coord_client.sync"]
        for module, target in ((coord_client, "coord_client.sync"), (recipes, "coord_client.sync.recipes")):
            for name in sorted(module.__all__):
                exported = getattr(module, name)
                if isinstance(exported, type) and facade.is_of_api(exported):
                    self._add(exported, target, name)
                elif name != "connect":
                    self._by_target[target].import_value(name, module.__name__, name)
        main.import_value("ScopeEnded", "coord_client.sync.portal", "ScopeEnded")
        main.add(self._connect(main))
        while self._to_write:
            kind = self._to_write.pop(0)
            target, name = self._names[kind]
            stub = self._by_target[target]
            stub.add(Declared(kind, name, stub).declaration())
        return {DIRECTORY / TARGETS[target]: stub.text() for target, stub in self._by_target.items()}

    def _connect(self, main: Stub) -> ast.stmt:
        source = source_of("coord_client.connecting")
        made = _function(source.declaration("connect"), source, main)
        made.returns = ast.Name("Client")
        made.decorator_list = []
        made.body = _body(coord_client.sync.connect.__doc__)
        return made


class Declared:
    """The declaration of one facade."""

    def __init__(self, kind: type, name: str, stub: Stub) -> None:
        self._kind = kind
        self._name = name
        self._stub = stub
        self._source = source_of(kind.__module__)
        self._original: ast.ClassDef = self._source.declaration(kind.__name__)

    def declaration(self) -> ast.ClassDef:
        """Of the whole class."""
        members = [*self._attributes(), *self._functions(self._original, self._source)]
        if self._kind is coord_client.Client:
            own = source_of(facade.__name__)
            members += self._functions(own.declaration("ClientFacade"), own, lambda name: name != "opened")
        bases = [self._stub.type_of(base, self._source, is_result=True) for base in self._original.bases]
        doc = [each for each in _body(ast.get_docstring(self._original)) if ast.unparse(each) != "..."]
        return ast.ClassDef(self._name, bases, [], doc + members or _body(None), [], type_params=[])  # type: ignore[call-arg,unused-ignore]

    def _functions(
        self, original: ast.ClassDef, source: Source, is_wanted: Callable[[str], bool] = lambda name: True
    ) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        overloaded: set[str] = set()
        for member in original.body:
            if not isinstance(member, Function) or not is_wanted(member.name):
                continue
            if member.name.startswith("_") and member.name not in {*_DUNDERS, *_DUNDERS.values()}:
                continue
            if any(ast.unparse(each).endswith((".setter", ".deleter")) for each in member.decorator_list):
                continue  # a facade's properties are for reading
            is_overload = "overload" in map(ast.unparse, member.decorator_list)
            if member.name in overloaded and not is_overload:
                continue
            if is_overload:
                overloaded.add(member.name)
            self._stub.foreign.clear()
            function = _function(member, source, self._stub)
            if member.name != "__init__" or not self._stub.foreign:
                made.append(function)  # otherwise it is for us alone: it makes what recipes give
        return made

    def _attributes(self) -> Iterator[ast.stmt]:
        for member in self._original.body:
            if isinstance(member, ast.AnnAssign) and not ast.unparse(member.target).startswith("_"):
                yield self._attribute(ast.unparse(member.target), member.annotation)
        for member in self._original.body:
            if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                yield from self._set_in(member)

    def _set_in(self, constructor: ast.FunctionDef) -> Iterator[ast.stmt]:
        arguments = constructor.args
        types = {each.arg: each.annotation for each in (*arguments.args, *arguments.kwonlyargs)}
        for statement in constructor.body:
            target: ast.expr
            if isinstance(statement, ast.AnnAssign):
                target, annotation = statement.target, statement.annotation
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target, annotation = statement.targets[0], _type_of_value(statement.value, types)
            else:
                continue
            is_ours = isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
            if isinstance(target, ast.Attribute) and is_ours and not target.attr.startswith("_"):
                self._stub.foreign.clear()
                attribute = self._attribute(target.attr, annotation)
                if not self._stub.foreign:
                    yield attribute

    def _attribute(self, name: str, annotation: ast.expr) -> ast.stmt:
        shown = self._stub.type_of(annotation, self._source, is_result=False)
        if ast.unparse(shown) == "Any":
            self._stub.import_value("Any", "typing", "Any")
        return ast.AnnAssign(ast.Name(name), shown, None, simple=1)


def _type_of_value(value: ast.expr, types: dict[str, ast.expr | None]) -> ast.expr:
    if isinstance(value, ast.Name) and types.get(value.id) is not None:
        found = types[value.id]
        assert found is not None
        return found
    if isinstance(value, ast.Constant) and value.value is not None:
        return ast.Name(type(value.value).__name__)
    if isinstance(value, ast.IfExp) and ast.unparse(value.test) == f"{ast.unparse(value.body)} is not None":
        given = _type_of_value(value.body, types)  # `x if x is not None else …`: what x is, if it is
        return given.left if isinstance(given, ast.BinOp) and ast.unparse(given.right) == "None" else given
    return ast.Name("Any")


def _function(original: Function, source: Source, stub: Stub) -> ast.FunctionDef:
    decorators = [ast.unparse(each) for each in original.decorator_list]
    is_scope = "asynccontextmanager" in decorators or "contextmanager" in decorators
    kept = [each for each in decorators if each in {"overload", "property", "staticmethod", "classmethod"}]
    if "overload" in kept:
        stub.import_value("overload", "typing", "overload")
    returns = None if original.returns is None else stub.type_of(original.returns, source, is_result=True)
    if is_scope:
        assert isinstance(returns, ast.Subscript), f"{original.name} yields what?"
        stub.import_value("AbstractContextManager", "contextlib", "AbstractContextManager")
        returns.value = ast.Name("AbstractContextManager")
    return ast.FunctionDef(
        _DUNDERS.get(original.name, original.name),
        _arguments(original.args, source, stub),
        _body(None if "overload" in kept else ast.get_docstring(original)),
        [ast.Name(each) for each in kept],
        returns,
        type_params=[],
    )  # type: ignore[call-arg,unused-ignore]


def _arguments(original: ast.arguments, source: Source, stub: Stub) -> ast.arguments:
    def all_of(arguments: list[ast.arg]) -> list[ast.arg]:
        return [_argument(each, source, stub) for each in arguments]

    return ast.arguments(
        posonlyargs=all_of(original.posonlyargs),
        args=all_of(original.args),
        vararg=None if original.vararg is None else _argument(original.vararg, source, stub),
        kwonlyargs=all_of(original.kwonlyargs),
        kw_defaults=[None if each is None else _default(each) for each in original.kw_defaults],
        kwarg=None if original.kwarg is None else _argument(original.kwarg, source, stub),
        defaults=[_default(each) for each in original.defaults],
    )


def _argument(original: ast.arg, source: Source, stub: Stub) -> ast.arg:
    shown = None if original.annotation is None else stub.type_of(original.annotation, source, is_result=False)
    return ast.arg(original.arg, shown)


def _default(original: ast.expr) -> ast.expr:
    """What is short and plain is shown."""
    try:
        ast.literal_eval(original)
    except ValueError:
        return ast.Constant(...)
    return original


def _body(doc: str | None) -> list[ast.stmt]:
    if doc is None:
        return [ast.Expr(ast.Constant(...))]
    return [ast.Expr(ast.Constant(facade.for_threads(doc)))]


def _formatted(text: str) -> str:
    for arguments in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(DIRECTORY / "__init__.pyi"), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> int:
    """Write them."""
    for path, text in Stubs().written().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
