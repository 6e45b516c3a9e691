"""The data layer: repositories of every area, in units of work, sync and async."""

from core.repositories.base import Numbered, Repository
from core.repositories.unit import AsyncUnitOfWork, UnitOfWork, async_unit_of_work, unit_of_work

__all__ = ["AsyncUnitOfWork", "Numbered", "Repository", "UnitOfWork", "async_unit_of_work", "unit_of_work"]
