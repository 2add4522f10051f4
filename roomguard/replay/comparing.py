"""Two replays side by side: which actions only one of them has, and which both have but not alike.

An action's id follows from what it is about, so the same decision has the same id under every configuration. What
always differs between two replays, the offset and the configuration's version, is no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import msgspec

from roomguard.errors import RecordingError

_NO_DIFFERENCE = ("offset", "config")
Line = Mapping[str, Any]
"""An action as it was written."""


@attrs.frozen
class RuleComparison:
    """The actions of one rule."""

    rule: str
    before: int
    after: int
    gone: int
    new: int
    otherwise: int


@attrs.frozen
class Comparison:
    """What differs between two lists of actions; each in the order it was written."""

    before: int
    after: int
    gone: tuple[Line, ...]
    """Only before."""
    new: tuple[Line, ...]
    """Only after."""
    otherwise: tuple[tuple[Line, Line], ...]
    """Of the same id, but with another duration, evidence or the like: before, after."""
    rules: tuple[RuleComparison, ...]
    """Each rule that has an action in either, by name."""

    @property
    def same(self) -> int:
        """Actions that both have alike."""
        return self.before - len(self.gone) - len(self.otherwise)


def read_actions(lines: Iterable[bytes], name: str) -> dict[str, Line]:
    """Id to action, of a file that `replay` wrote. Raises RecordingError with file and line."""
    actions: dict[str, Line] = {}
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            action = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise RecordingError(f"{name}:{number}: {error}") from None
        if not isinstance(action, dict) or not {"id", "kind", "rule", "room"} <= action.keys():
            raise RecordingError(f"{name}:{number}: this is no action; give what `replay --out` wrote")
        actions[action["id"]] = action
    return actions


def compare(before: Mapping[str, Line], after: Mapping[str, Line]) -> Comparison:
    """What differs between two lists of actions by their ids."""
    gone = tuple(action for id_, action in before.items() if id_ not in after)
    new = tuple(action for id_, action in after.items() if id_ not in before)
    pairs = ((action, after[id_]) for id_, action in before.items() if id_ in after)
    otherwise = tuple((one, two) for one, two in pairs if _told(one) != _told(two))
    counts = [
        Counter(action["rule"] for action in actions)
        for actions in (before.values(), after.values(), gone, new, (one for one, _ in otherwise))
    ]
    rules = tuple(RuleComparison(rule, *(count[rule] for count in counts)) for rule in sorted(counts[0] | counts[1]))
    return Comparison(len(before), len(after), gone, new, otherwise, rules)


def _told(action: Line) -> dict[str, Any]:
    return {key: value for key, value in action.items() if key not in _NO_DIFFERENCE}
