"""Work done a portion at a time, so that whoever drives it can let others have a turn in between."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Portions = Generator[None, None, T]
"""It may be interrupted wherever it yields; what it makes is what it returns."""


def whole(portions: Portions[T]) -> T:
    """All of it at once. Raises what it raises."""
    while True:
        try:
            next(portions)
        except StopIteration as end:
            made: T = end.value
            return made
