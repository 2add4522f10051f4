"""Rules made by number: two or three comparisons of what shipped rules ask for anyway. None of them is ever true."""

from __future__ import annotations

_SHAPES = (
    "user_10s > flood_10s and length > {0} and room_chats > 10",
    "length > {0} and caps_ratio > 0.9",
    "user_chats <= newcomer_chats and user_age_s < 10 and length > {0}",
    "near_users > wave_users and length > {0}",
    "user_30s > flood_30s and user_10s > flood_10s and words > {0}",
)
_LONGER_THAN_ANY = 2_000


def conditions(count: int) -> list[str]:
    """So many conditions, all different."""
    return [_SHAPES[one % len(_SHAPES)].format(_LONGER_THAN_ANY + one) for one in range(count)]


def toml(count: int) -> str:
    """The same as rules, to be put behind a configuration."""
    rules = (
        f'\n[[rules]]\nname = "generated_{one}"\nwhen = "{condition}"\naction = ["delete"]\nmode = "enforce"\n'
        for one, condition in enumerate(conditions(count))
    )
    return "".join(rules)
