"""Short ways to say an event, a rule, a program.

Times (`at`) are seconds after `START`, so that a test reads "at=59.9". An event's id is made of its kind, user and time
unless you give one: two events of one user, kind and moment need `id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roomguard.engine.program import Program, compile_program
from roomguard.engine.settings import EngineSettings, FeatureSettings, LimitSettings, RuleSettings
from roomguard.model.events import (
    Chat,
    Control,
    Follow,
    Gift,
    Join,
    Leave,
    Like,
    Moderation,
    Report,
    Share,
    Unfollow,
    Verb,
    Who,
)

START = 1_700_000_000.0
"""Unix seconds that `at` counts from."""

Plain = Join | Leave | Follow | Unfollow | Share
_PLAIN: Mapping[str, type[Plain]] = {
    "join": Join,
    "leave": Leave,
    "follow": Follow,
    "unfollow": Unfollow,
    "share": Share,
}


def _common(kind: str, user: str, at: float, more: dict[str, Any]) -> dict[str, Any]:
    fields = {"id": f"{kind}-{user}-{at:g}", "room": "r1", **more}
    who = fields.get("who")
    return {**fields, "user": user, "ts": START + at, "who": Who(**who) if isinstance(who, dict) else who}


def chat(user: str, text: str = "hello there", at: float = 0.0, **more: Any) -> Chat:
    """A message. `more`: `id`, `room`, `who` (a Who or a dict), `lang`, `mentions`, `reply_to`, `emotes`."""
    return Chat(text=text, **_common("chat", user, at, more))


def gift(user: str, count: int = 1, at: float = 0.0, **more: Any) -> Gift:
    """A gift worth 1 each unless `value` says otherwise. `more`: `gift`, `streak`, `streak_end`, `who`."""
    fields = {"gift": "rose", "value": 1.0, **more}
    return Gift(count=count, **_common("gift", user, at, fields))


def like(user: str, count: int = 1, at: float = 0.0, **more: Any) -> Like:
    """`count` likes."""
    return Like(count=count, **_common("like", user, at, more))


def plain(kind: str, user: str, at: float = 0.0, **more: Any) -> Plain:
    """An event that has nothing but its user: join, leave, follow, unfollow, share."""
    return _PLAIN[kind](**_common(kind, user, at, more))


def join(user: str, at: float = 0.0, **more: Any) -> Join:
    """The user comes in."""
    return Join(**_common("join", user, at, more))


def leave(user: str, at: float = 0.0, **more: Any) -> Leave:
    """The user goes."""
    return Leave(**_common("leave", user, at, more))


def report(user: str, target: str, at: float = 0.0, **more: Any) -> Report:
    """`user` reports `target`. `more`: `target_event`, `reason`."""
    return Report(target=target, **_common("report", user, at, more))


def moderation(user: str, verb: Verb, target: str, at: float = 0.0, **more: Any) -> Moderation:
    """A human in the room acts on `target`. `more`: `duration_s`, `target_event`."""
    return Moderation(verb=verb, target=target, **_common(f"{verb}-{target}", user, at, more))


def control(type_: str, at: float = 0.0, **more: Any) -> Control:
    """A control record: see `roomguard.model.events.Control` for the types and their fields."""
    fields: dict[str, Any] = {"type": type_, "room": "r1", **more}
    return Control(ts=START + at, **fields)


def rule(name: str, when: str, *action: str, **more: Any) -> RuleSettings:
    """A rule that is in force; a mute of the default length unless `action` says otherwise."""
    fields: dict[str, Any] = {"mode": "enforce", "action": action or ("mute",), **more}
    return RuleSettings(name=name, when=when, **fields)


def feature(kind: str, window_s: float = 60.0, **more: Any) -> FeatureSettings:
    """A declared feature of users over chat unless `more` says otherwise."""
    fields: dict[str, Any] = {"kind": kind, "window_s": window_s, **more}
    return FeatureSettings(**fields)


def limit(rate: str, **more: Any) -> LimitSettings:
    """A rate limit such as "10/60s"."""
    return LimitSettings(rate=rate, **more)


def program(*rules: RuleSettings, features: Mapping[str, FeatureSettings] | None = None, **more: Any) -> Program:
    """A program of these rules. `more` are fields of EngineSettings. Raises RuleErrors."""
    return compile_program(EngineSettings(rules=rules, features=features or {}, **more))
