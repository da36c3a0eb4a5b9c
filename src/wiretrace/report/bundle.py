"""The page's script and style, joined from the files of ``assets/``.

Browsers do not load ES modules from ``file://``, so the modules become one classic script. The convention that makes
joining them a matter of lines, and that `join_modules` enforces:

- an import is ``import { a, b } from "./other.js";`` at the start of a line (names may go over several lines);
  nothing is renamed, there is no default import and no import of anything but a sibling;
- an export is the word ``export`` before ``function``, ``async function``, ``class`` or ``const`` at the start of a line;
- imported names are exported by the file they are imported from, imports make no circle, and no two files
  declare the same name at their top level.
"""

import functools
import re
from collections.abc import Mapping
from importlib import resources

ENTRY = "main.js"
"""The module that starts the page."""

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_DECLARATION = re.compile(r"^(export )?(?:async )?(?:function|class|const|let) ([A-Za-z_$][\w$]*)", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function |class |const )", re.MULTILINE)
_LEFT_OVER = re.compile(r"^\s*(?:import|export)\b.*", re.MULTILINE)


class BundleError(Exception):
    """A module breaks the convention. Never seen by users: the tests join the modules."""


def asset(name: str) -> str:
    """The text of a file of ``assets/``."""
    return (resources.files("wiretrace.report") / "assets" / name).read_text("utf-8")


@functools.cache
def page_script() -> str:
    """The whole script of the page."""
    directory = resources.files("wiretrace.report") / "assets"
    modules = {item.name: item.read_text("utf-8") for item in directory.iterdir() if item.name.endswith(".js")}
    return f'(() => {{\n"use strict";\n{join_modules(modules, ENTRY)}}})();\n'


@functools.cache
def page_style() -> str:
    """The whole style sheet of the page: what is shared first, then by view."""
    directory = resources.files("wiretrace.report") / "assets"
    names = sorted(item.name for item in directory.iterdir() if item.name.endswith(".css"))
    return "".join(asset(name) for name in names)


def join_modules(modules: Mapping[str, str], entry: str) -> str:
    """`entry` and all that it imports as one text, a module behind those it imports.

    :raises BundleError: if a module breaks the convention above.
    """
    joined: list[str] = []
    declared: dict[str, str] = {}
    exports: dict[str, set[str]] = {}
    open_modules: list[str] = []

    def visit(name: str) -> None:
        if name in exports:
            return
        if name in open_modules:
            raise BundleError(f"{name}: imports go in a circle: {' -> '.join(open_modules)}")
        if name not in modules:
            raise BundleError(f"{open_modules[-1]}: there is no module {name}")
        open_modules.append(name)
        text = modules[name]
        for names, imported in _IMPORT.findall(text):
            visit(imported)
            missing = {part.strip() for part in names.split(",")} - exports[imported] - {""}
            if missing:
                raise BundleError(f"{name}: {imported} does not export {', '.join(sorted(missing))}")
        exports[name] = set()
        for is_export, declaration in _DECLARATION.findall(text):
            if declaration in declared:
                raise BundleError(f"{name}: {declaration} is declared in {declared[declaration]} too")
            declared[declaration] = name
            if is_export:
                exports[name].add(declaration)
        body = _EXPORT.sub("", _IMPORT.sub("", text))
        if left_over := _LEFT_OVER.search(body):
            raise BundleError(f"{name}: not in the convention: {left_over.group().strip()}")
        joined.append(body)
        open_modules.pop()

    visit(entry)
    return "\n".join(joined)
