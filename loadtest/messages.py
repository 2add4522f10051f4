"""What a guard sends, as far as an edge needs to read it. Fields that are not named here are ignored."""

from __future__ import annotations

import msgspec


class Rejection(msgspec.Struct):
    """One event that was not accepted."""

    index: int
    code: str
    detail: str = ""


class Action(msgspec.Struct):
    """One action."""

    id: str
    kind: str
    room: str
    offset: int = 0
    user: str | None = None
    at: float = 0.0
    reason: str = ""
    rule: str = ""
    causes: list[str] = []
    cluster: str | None = None
    undoes: str | None = None


class Message(msgspec.Struct, tag_field="type"):
    """Anything a guard says to an edge."""


class Welcome(Message, tag="welcome"):
    """First message of a connection."""

    protocol: str
    node: str = ""
    epoch: str = ""
    config: str = ""
    resume_after: int = 0
    max_unacked: int = 64
    max_frame_bytes: int = 1 << 20
    max_events: int = 4096


class Ack(Message, tag="ack"):
    """A frame is decided."""

    seq: int
    accepted: int
    rejected: list[Rejection] = []


class Verdicts(Message, tag="verdicts"):
    """What a gated frame's events came to."""

    seq: int
    verdicts: list[str]


class Actions(Message, tag="actions"):
    """Actions for our rooms."""

    actions: list[Action]


class State(Message, tag="state"):
    """Penalties in force in a room we just took."""

    room: str
    actions: list[Action] = []


class Error(Message, tag="error"):
    """A message of ours was not allowed."""

    code: str
    detail: str = ""
    seq: int | None = None
    expected: int | None = None


class Drain(Message, tag="drain"):
    """The guard is going to close."""

    reconnect_s: float = 1.0


AnyMessage = Welcome | Ack | Verdicts | Actions | State | Error | Drain
decode = msgspec.json.Decoder(AnyMessage).decode
