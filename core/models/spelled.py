"""Expressions that PostgreSQL and SQLite spell differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

E = TypeVar("E", bound=FunctionElement[Any])


def spelled(postgresql: str, sqlite: str) -> Callable[[type[E]], type[E]]:
    """How an expression is written in each: {0}, {1} ... stand for its arguments."""

    def decorate(kind: type[E]) -> type[E]:
        compiles(kind)(_written(postgresql))
        compiles(kind, "sqlite")(_written(sqlite))
        return kind

    return decorate


def _written(template: str) -> Callable[..., str]:
    def write(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
        return template.format(*(compiler.process(clause, **kw) for clause in element.clauses))

    return write
