"""The code of a class that somebody has in a script or a notebook: its source, and what it needs of what is around it.

Only that is taken: a script is not run again, and the cells of a notebook that have nothing to do with the class stay
where they are. Each name that the class uses is looked up where the class was made, and written down as what it is
there: an import, a function or class of its own, or a plain value.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import cmath
import contextlib
import inspect
import linecache
import logging
import re
import symtable
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, NoReturn

from handrail.core.errors import HandrailError, clipped

MAX_VALUE_CHARS: Final = 2**16
MAX_DEPTH: Final = 20
PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
GATHERED: Final = (list, tuple, dict, set, frozenset)
MEND: Final = "make it in __init__, give it through config=, or deploy a folder with a handrail.yaml"
FUTURE: Final = "from __future__ import annotations"


def code_of_class(wanted: type) -> str:
    """A Python file that makes the class. Raises HandrailError ("data") for what cannot be taken, by its name."""
    if not inspect.isclass(wanted):
        problem = f"predictor must be a class, received {type(wanted).__name__}"
        raise HandrailError("usage", problem, "predictor=PythonPredictor, without brackets", field="predictor")
    taking = Taking()
    taking.own(wanted.__name__, wanted)
    return taking.written()


class Taking:
    """What was taken so far, in an order in which it can run."""

    def __init__(self) -> None:
        self._imports: dict[str, None] = {}
        self._pieces: dict[str, tuple[Any, str]] = {}
        self._lazy = False

    def written(self) -> str:
        """The file."""
        imports = [*([FUTURE] if self._lazy else []), *self._imports]
        return "\n\n\n".join(["\n".join(imports), *(text for _, text in self._pieces.values())]).strip() + "\n"

    def own(self, name: str, value: Any) -> None:
        """A class or function of the user's, under the name by which it is known; first what it needs."""
        if "<locals>" in value.__qualname__ or value.__qualname__ != value.__name__:
            _refuse(name, "is made inside something else", "define it at the top of the script or cell")
        if not self._is_new(value.__name__, value):
            return
        # Kept now, so that two that need each other end; in its place in the order once what it needs is there.
        self._pieces[value.__name__] = (value, "")
        text, around = _source_of(value)
        self._lazy = self._lazy or _is_lazy(value, around)
        for needed, uses in _needs(text).items():
            if needed != value.__name__ and needed in around:
                self._take(needed, around[needed], uses, value)
        del self._pieces[value.__name__]
        self._pieces[value.__name__] = (value, text)
        if name != value.__name__ and self._is_new(name, value):
            self._pieces[name] = (value, f"{name} = {value.__name__}")

    def _take(self, name: str, value: Any, uses: set[str], user: Any) -> None:
        if isinstance(value, types.ModuleType):
            self._take_module(name, value, uses)
        elif line := _import_of(name, value, user):
            self._imports[line] = None
        elif inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "__wrapped__"):
            self.own(name, value)
        elif isinstance(value, logging.Logger):
            self._imports["import logging"] = None
            self._value(name, value, f"logging.getLogger({value.name!r})")
        elif isinstance(value, re.Pattern):
            self._imports["import re"] = None
            self._value(name, value, f"re.compile({value.pattern!r}, {int(value.flags)})")
        elif _is_plain(value) and len(shown := repr(value)) <= MAX_VALUE_CHARS:
            self._value(name, value, shown)
        else:
            _refuse(name, f"is a {type(value).__name__}, which cannot be taken along", MEND)

    def _value(self, name: str, value: Any, shown: str) -> None:
        if self._is_new(name, value):
            self._pieces[name] = (value, f"{name} = {shown}")

    def _take_module(self, name: str, module: types.ModuleType, uses: set[str]) -> None:
        if not _is_installed(module.__name__):
            mend = f"from {module.__name__} import what the class needs, or deploy the folder with a handrail.yaml"
            _refuse(name, "is a file of yours, not a package", mend)
        self._imports[f"import {module.__name__}" + ("" if module.__name__ == name else f" as {name}")] = None
        for chain in sorted(uses):
            # `import xml.etree.ElementTree` gives the name xml alone, and more than that is meant.
            parts = [module.__name__, *chain.split(".")[1:]]
            for length in range(len(parts), 1, -1):
                if isinstance(sys.modules.get(whole := ".".join(parts[:length])), types.ModuleType):
                    self._imports[f"import {whole}"] = None
                    break

    def _is_new(self, name: str, value: Any) -> bool:
        known, _ = self._pieces.get(name, (value, ""))
        if known is not value and not (_is_plain(known) and _is_plain(value) and known == value):
            _refuse(name, "means two things in two files", "rename one of them")
        return name not in self._pieces


# Where something comes from.


def _source_of(value: Any) -> tuple[str, Mapping[str, Any]]:
    """The source of a class or function of the user's, and the names around it."""
    try:
        if not inspect.isclass(value):
            function: Any = inspect.unwrap(value)
            text = textwrap.dedent(inspect.getsource(function)).rstrip()
            if function.__name__ == "<lambda>":
                _refuse("a lambda", "has no name of its own", "write it as def")
            return text, function.__globals__
        return _source_of_class(value), vars(sys.modules[value.__module__])
    except (OSError, TypeError, SyntaxError, KeyError, AttributeError):
        mend = "put it into a file and deploy that: a folder with predictor.py and handrail.yaml"
        _refuse(value.__name__, "has no source to be found", mend)


def _source_of_class(value: type) -> str:
    """By one of its methods: a method knows the cell of a notebook where it was written, a class does not."""
    for function in _methods(value):
        code = function.__code__
        linecache.checkcache(code.co_filename)
        lines = linecache.getlines(code.co_filename)
        for node in ast.parse("".join(lines)).body if lines else ():
            if isinstance(node, ast.ClassDef) and node.name == value.__name__ and _holds(node, code.co_firstlineno):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno]).rstrip()
    return textwrap.dedent(inspect.getsource(value)).rstrip()


def _methods(value: type) -> Iterator[types.FunctionType]:
    for one in vars(value).values():
        method: Any = one.fget if isinstance(one, property) else getattr(one, "__func__", one)
        found = inspect.unwrap(method)
        if isinstance(found, types.FunctionType):
            yield found


def _holds(node: ast.ClassDef, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _is_lazy(value: Any, around: Mapping[str, Any]) -> bool:
    """Whether its annotations are texts: there `from __future__ import annotations` holds."""
    found = list(_methods(value)) if inspect.isclass(value) else [inspect.unwrap(value)]
    codes = [one.__code__ for one in found if isinstance(one, types.FunctionType)]
    flag = __future__.annotations.compiler_flag
    return around.get("annotations") is __future__.annotations or any(code.co_flags & flag for code in codes)


def _import_of(name: str, value: Any, user: Any) -> str | None:
    """The line that imports it; None where it is of the user's own making, or a value."""
    module, inside = getattr(value, "__module__", None), getattr(value, "__name__", None)
    home = sys.modules.get(module) if isinstance(module, str) else None
    if home is not None and isinstance(inside, str) and getattr(home, inside, None) is value:
        return _import_line(str(module), inside, name) if _is_installed(str(module)) else None
    for node in _lines_of(user.__module__):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and _is_installed(node.module):
            for one in node.names:
                if (one.asname or one.name) == name:
                    return _import_line(node.module, one.name, name)
    return None


def _lines_of(module: str) -> list[ast.stmt]:
    """What stands in the file of a module; nothing where it has none, as a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    with contextlib.suppress(SyntaxError):
        return ast.parse("".join(linecache.getlines(file))).body if file else []
    return []


def _import_line(module: str, inside: str, name: str) -> str:
    return f"from {module} import {inside}" + ("" if inside == name else f" as {name}")


def _is_installed(module: str) -> bool:
    """Whether a replica finds it, too: it is not just a file beside the script, or in the folder of the notebook."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    if top == "__main__":
        return False
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    here = {Path.cwd(), *([Path(script).absolute().parent] if script else [])}
    elsewhere = [path for path in sys.path if path and Path(path).absolute() not in here]
    if PathFinder.find_spec(top, elsewhere) is not None:
        return True
    others = [one for one in sys.meta_path if one is not PathFinder and hasattr(one, "find_spec")]
    return any(one.find_spec(top, None) is not None for one in others)


# What something needs.


def _needs(text: str) -> dict[str, set[str]]:
    """The names that a piece of code wants from around it, each with what it is asked for: `xml.etree.ElementTree`."""
    names = {name for name in _free(symtable.symtable(text, "predictor.py", "exec")) if not hasattr(builtins, name)}
    found: dict[str, set[str]] = {name: set() for name in names if not name.startswith("__")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and (chain := _chain(node)) and chain.partition(".")[0] in found:
            found[chain.partition(".")[0]].add(chain)
    return dict(sorted(found.items()))


def _free(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _free(child)


def _chain(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _chain(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether its `repr` is the same value again."""
    if type(value) in PLAIN:
        return not isinstance(value, float | complex) or cmath.isfinite(value)
    if type(value) not in GATHERED or depth > MAX_DEPTH:
        return False
    parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
    return all(_is_plain(one, depth + 1) for one in parts)


def _refuse(name: str, words: str, mend: str) -> NoReturn:
    raise HandrailError("data", f"'{clipped(name)}' {words}", mend, field="predictor") from None
