"""Who goes first from a full room."""

from __future__ import annotations

import attrs
from hypothesis import given, strategies as st

from roomguard.engine.stalest import Stalest


@attrs.define
class User:
    """Somebody with a last use."""

    first: float
    last: float

    def used(self) -> float:
        return self.last


STEPS = st.lists(st.tuples(st.integers(0, 12), st.floats(0, 2), st.booleans()), max_size=200)


@given(st.integers(0, 6), STEPS)
def test_the_one_unused_for_longest(start: int, steps: list[tuple[int, float, bool]]) -> None:
    """Each one that goes is the first by last use, then by when they were met, whatever the others did."""
    users = {f"u{number}": User(0.0, 0.0) for number in range(start)}
    stalest = Stalest(users)
    now = 0.0
    for number, gap, goes in steps:
        now += gap
        name = f"u{number}"
        if goes and users:
            expected = min(users, key=lambda name: users[name].last)  # the first of equals, in the order they were met
            assert expected == stalest.pop(users)
            del users[expected]
        elif name in users:
            users[name].last = now
        else:
            stalest.add(name, users)
            users[name] = User(now, now)
