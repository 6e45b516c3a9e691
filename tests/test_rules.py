"""The rules of the house that a program can check: who imports whom, sizes, and what does not belong where."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Downwards only: a module imports from layers above it in this list; a package counts as its top name.
LAYERS: list[set[str]] = [
    {"format", "log", "private", "probe", "progress"},
    {"errors"},
    {"settings", "envfile"},
    {"models"},
    {"database", "resilience", "embedded"},
    {"repositories", "backup", "audit"},
    {"schema"},
    {"setup", "explore", "portfolio", "health", "metrics"},
    {"services", "auth", "notify"},
    {"demo", "fallback"},
    {"state", "tasks"},
    {"jobs", "sampler"},
    {"api", "ui", "terminal", "commands", "__main__"},
    {"pages", "app"},
]
# Who may import these packages: names of core's modules, or folders and files beside core.
ONLY_IN = {
    "streamlit": {"app", "pages", "ui"},
    "starlette": {"api"},
    "alembic": {"schema", "migrations"},
}
LINES = {"pages": 120}
LINES_ELSEWHERE = 400
SQL = re.compile(
    r"\b(SELECT\b.+?\bFROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|(CREATE|ALTER|DROP)\s+(TABLE|ROLE|DATABASE|INDEX))\b",
    re.DOTALL,
)
LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b(?!\()")


def product_files() -> list[Path]:
    """What is shipped and runs."""
    files = [ROOT / "app.py", *ROOT.glob("pages/**/*.py"), *ROOT.glob("core/**/*.py"), *ROOT.glob("migrations/**/*.py")]
    return [file for file in files if file.is_file()]


def own_files() -> list[Path]:
    """Everything that was written by hand, tests included."""
    return [*product_files(), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("docs/**/*.py")]


def relative(file: Path) -> str:
    """The path as it is named in messages and in `pytest -k`."""
    return file.relative_to(ROOT).as_posix()


def place_of(path: str) -> str:
    """The name under which a file stands in LAYERS: core/schema/mend.py is "schema", pages/setup.py is "pages"."""
    parts = path.removesuffix(".py").split("/")
    return parts[1] if parts[0] == "core" else parts[0]


def imports(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported when the code runs; not what only types need."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.removesuffix(".py").split("/")[: -node.level or None]
            module = ".".join([*package, *([node.module] if node.module else [])]) if node.level else node.module or ""
            if module == "core":
                yield from ((node.lineno, f"core.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def upward_imports(source: str, path: str) -> list[str]:
    """Imports from a layer below in LAYERS, and from modules that stand in no layer."""
    rank = {name: number for number, names in enumerate(LAYERS) for name in names}
    place = place_of(path)
    if place not in rank:
        return [] if place in ("__init__", "migrations") else [f"{path}: {place} stands in no layer"]
    problems = []
    for line, name in imports(ast.parse(source), path):
        parts = name.split(".")
        if parts[0] == "core" and len(parts) > 1:
            target = parts[1]
        elif parts[0] in ("pages", "app", "tests"):
            target = parts[0]
        else:
            continue
        if rank.get(target, len(LAYERS)) > rank[place]:
            problems.append(f"{path}:{line}: {place} imports {name}, which is not below it")
    return problems


def neighbours(source: str, path: str) -> set[tuple[str, str]]:
    """Pairs (importer, imported) of different names in one layer."""
    place = place_of(path)
    same = next((names for names in LAYERS if place in names), set())
    targets = {name.split(".")[1] for _, name in imports(ast.parse(source), path) if name.startswith("core.")}
    return {(place, target) for target in targets & same if target != place}


def misplaced_packages(source: str, path: str) -> list[str]:
    """Imports of Streamlit, Starlette or Alembic outside their place, and readers of the environment."""
    problems = []
    tree = ast.parse(source)
    for line, name in imports(tree, path):
        allowed = ONLY_IN.get(name.split(".")[0])
        if allowed and place_of(path) not in allowed:
            problems.append(f"{path}:{line}: imports {name}, which belongs into {', '.join(sorted(allowed))}")
    if place_of(path) != "settings":
        for node in ast.walk(tree):
            named = isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv")
            taken = isinstance(node, ast.ImportFrom) and node.module == "os"
            if (named and isinstance(node.value, ast.Name) and node.value.id == "os") or (
                taken and {alias.name for alias in node.names} & {"environ", "getenv"}
            ):
                problems.append(f"{path}:{node.lineno}: reads the environment; only core/settings does")
    return problems


def raw_html(source: str, path: str) -> list[str]:
    """Calls with unsafe_allow_html."""
    return [
        f"{path}:{node.value.lineno}: unsafe_allow_html"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword) and node.arg == "unsafe_allow_html"
    ]


def not_in_pages(source: str, path: str) -> list[str]:
    """try, sleep, SQL and database drivers in a page."""
    tree = ast.parse(source)
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            problems.append(f"{path}:{node.lineno}: try (ui.guard shows errors)")
        if (isinstance(node, ast.Attribute) and node.attr == "sleep") or (
            isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {a.name for a in node.names}
        ):
            problems.append(f"{path}:{node.lineno}: sleep (use a fragment that runs again)")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value):
            problems.append(f"{path}:{node.lineno}: SQL (write a question in core)")
    for line, name in imports(tree, path):
        if name.split(".")[0] in ("sqlalchemy", "psycopg", "sqlite3"):
            problems.append(f"{path}:{line}: {name} (write a question in core)")
    return problems


def too_long(source: str, path: str) -> list[str]:
    """A file over its limit of lines."""
    limit = LINES.get(path.split("/")[0], LINES_ELSEWHERE)
    lines = len(source.splitlines())
    return [f"{path}: {lines} lines, at most {limit}"] if lines > limit else []


def undocumented(source: str, path: str) -> list[str]:
    """A module with code but no docstring."""
    tree = ast.parse(source)
    return [f"{path}: no docstring"] if tree.body and not ast.get_docstring(tree) else []


def postponed(source: str, path: str) -> list[str]:
    """Notes about work that is left, without the issue it belongs to."""
    return [
        f"{path}:{number}: {line.strip()}" for number, line in enumerate(source.splitlines(), 1) if LATER.search(line)
    ]


def history(path: Path) -> bool:
    """Whether the file is a migration: one is as long as what it migrates."""
    return "versions" in path.parts


RULES = {
    "imports only downwards": (upward_imports, product_files),
    "packages in their place": (misplaced_packages, product_files),
    "no raw html": (raw_html, product_files),
    "pages only show": (not_in_pages, lambda: [file for file in product_files() if file.parent.name == "pages"]),
    "files are short": (too_long, lambda: [file for file in own_files() if not history(file)]),
    "modules are documented": (undocumented, own_files),
    "nothing is postponed": (postponed, own_files),
}


@pytest.mark.parametrize("rule", RULES)
def test_files_follow(rule: str) -> None:
    check, files = RULES[rule]
    problems = [problem for file in files() for problem in check(file.read_text("utf-8"), relative(file))]
    assert not problems, "\n".join(problems)


def test_neighbours_do_not_import_each_other_in_a_circle() -> None:
    pairs = {pair for file in product_files() for pair in neighbours(file.read_text("utf-8"), relative(file))}
    circles = {pair for pair in pairs if pair[::-1] in pairs}
    assert not circles


def test_packages_of_tests_have_an_init() -> None:
    folders = {file.parent for file in ROOT.glob("tests/**/*.py")}
    assert not [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        ("imports only downwards", "core/log.py", "from core.errors import KINDS"),
        ("imports only downwards", "core/errors/base.py", "def f():\n    from core import settings"),
        ("imports only downwards", "core/schema/mend.py", "from ..setup import verify"),
        ("imports only downwards", "core/embedded/__init__.py", "import tests.servers"),
        ("imports only downwards", "core/misc.py", ""),
        ("packages in their place", "core/health/locks.py", "import streamlit as st"),
        ("packages in their place", "core/ui/page.py", "from starlette.requests import Request"),
        ("packages in their place", "core/database.py", "from alembic import command"),
        ("packages in their place", "core/database.py", "import os\nx = os.environ['HOME']"),
        ("packages in their place", "core/database.py", "from os import getenv"),
        ("no raw html", "core/ui/page.py", "st.markdown('<b>', unsafe_allow_html=True)"),
        ("pages only show", "pages/x.py", "try:\n    f()\nexcept ValueError:\n    pass"),
        ("pages only show", "pages/x.py", "import time\ntime.sleep(1)"),
        ("pages only show", "pages/x.py", "rows = run('SELECT 1 FROM trades')"),
        ("pages only show", "pages/x.py", "from sqlalchemy import text"),
        ("files are short", "pages/x.py", "\n" * 121),
        ("files are short", "core/x.py", "\n" * 401),
        ("modules are documented", "core/x.py", "x = 1"),
        ("nothing is postponed", "core/x.py", f"# {'to do'.replace(' ', '').upper()}: later"),
    ],
)
def test_rule_finds(rule: str, path: str, source: str) -> None:
    assert RULES[rule][0](source, path)


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (
            "imports only downwards",
            "core/errors/x.py",
            "if TYPE_CHECKING:\n    from core.settings import DatabaseConfig",
        ),
        ("imports only downwards", "core/schema/x.py", "from core.schema import migrate\nfrom core.database import D"),
        ("pages only show", "pages/x.py", "st.caption('Select a table from the list')"),
    ],
)
def test_rule_lets_pass(rule: str, path: str, source: str) -> None:
    assert not RULES[rule][0](source, path)
