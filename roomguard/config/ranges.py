"""Which numbers make sense, field by field.

Most follow from the name: `_s` is a duration, `_bytes` a size, any other whole number a count. What deviates stands
in `RANGES` with its reason. nan and the infinities are no numbers here at all.
"""

from __future__ import annotations

import math

import attrs

YEAR_S = 366 * 86_400.0
"""No duration in a live room is longer."""


@attrs.frozen
class Range:
    """Inclusive bounds; `above` excludes the lower one."""

    low: float
    high: float
    above: bool = False

    def complaint(self, value: float) -> str | None:
        """What is wrong with `value`, None if nothing is."""
        if not math.isfinite(value):
            return "must be a finite number"
        if value < self.low or (self.above and value == self.low):
            return f"must be {'more than' if self.above else 'at least'} {self.low:g}, got {value:g}"
        if value > self.high:
            return f"must be at most {self.high:g}, got {value:g}"
        return None


DURATION = Range(0, YEAR_S, above=True)
DURATION_OR_NONE = Range(0, YEAR_S)
SIZE = Range(1, 2**40)
COUNT = Range(1, 1e9)
AMOUNT = Range(0, 1e12)

RANGES: dict[tuple[str, str], Range] = {
    ("LimitSettings", "burst"): Range(0, 1e6),  # 0: as many as the rate says
    ("LimitSettings", "cooldown_s"): DURATION_OR_NONE,  # 0: as long as the rate's window
    ("LimitSettings", "weights"): Range(0, 1e6),  # 0: that kind is free
    ("ListenSettings", "clamp_ahead_s"): Range(0, 1e12),  # a recording may come from any time
    ("ListenSettings", "clamp_back_s"): Range(0, 1e12),
    ("ElevatedSettings", "hits"): Range(1, 512),  # so many users hit are remembered
    ("EngineSettings", "notice_s"): DURATION_OR_NONE,  # 0: no notices
    ("ModesSettings", "leave_share"): Range(0, 1),
    ("ModesSettings", "new_share"): Range(0, 1),
    ("ModesSettings", "settle_s"): DURATION_OR_NONE,  # 0: from the first event on
    ("ModesSettings", "handover_s"): DURATION_OR_NONE,  # 0: a new host is no reason to expect anybody
    ("RaidSettings", "hits"): Range(1, 512),
    ("RuleSettings", "duration_s"): DURATION_OR_NONE,  # 0: the kind's default
    ("RuleSettings", "jitter_s"): DURATION_OR_NONE,  # 0: at once
    ("RuleSettings", "rollout"): Range(0, 100),
    ("StrategySettings", "viewers_max"): AMOUNT,  # 0: none
    ("StrategySettings", "viewers_min"): AMOUNT,
}


def range_of(owner: str, field: str, *, whole: bool) -> Range:
    """The range of a numeric field of the settings class called `owner`."""
    if (own := RANGES.get((owner, field))) is not None:
        return own
    if field.endswith("_s"):
        return DURATION
    if field.endswith("_bytes"):
        return SIZE
    return COUNT if whole else AMOUNT
