"""For tests of your own rules and programs: builders of events and programs, and a room in virtual time."""

from roomguard.testing.builders import (
    START,
    chat,
    control,
    feature,
    gift,
    join,
    leave,
    like,
    limit,
    moderation,
    plain,
    program,
    report,
    rule,
)
from roomguard.testing.scene import Scene

__all__ = [
    "START",
    "Scene",
    "chat",
    "control",
    "feature",
    "gift",
    "join",
    "leave",
    "like",
    "limit",
    "moderation",
    "plain",
    "program",
    "report",
    "rule",
]
