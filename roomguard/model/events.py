"""What comes in: events of a room and the control records between them.

Events are msgspec Structs, decoded straight from the wire and owned by nobody: they are never changed after
decoding. `gc=False` keeps millions of them out of the garbage collector's sight; nothing here can form a cycle.
Limits on lengths and ranges follow PROTOCOL.md. An id is 1 to 128 bytes without control characters; msgspec
can only count code points, so `wire` checks the bytes.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Literal

import msgspec

NEVER = float("-inf")
"""Room time before the first input. Made once: written out as `-inf` it is a new number each time."""

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Role = Literal["viewer", "subscriber", "vip", "moderator", "host"]
Verb = Literal["mute", "unmute", "kick", "readmit", "delete"]


class Who(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the edge knows of a user. None means unknown, never zero."""

    role: Role | None = None
    account_age_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    follower: bool | None = None
    level: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    device: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    net: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class Event(msgspec.Struct, tag_field="kind", gc=False, omit_defaults=True, kw_only=True):
    """Fields every event has. `ts` is Unix seconds; the shell writes room time into it before the engine sees it.

    `room` may be left out on the wire of a one-room connection; the shell fills it in. `user` is empty only for
    the kinds that have none.
    """

    id: Id
    ts: float
    room: Annotated[str, msgspec.Meta(max_length=128)] = ""
    who: Who | None = None


room_of = attrgetter("room")
"""The room of an event, for `map`."""


class UserEvent(Event, kw_only=True):
    """An event of one user."""

    user: Id


class Chat(UserEvent, tag="chat", kw_only=True):
    """A message. `text` is judged up to 2,000 code points."""

    text: str
    lang: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    mentions: Annotated[list[str], msgspec.Meta(max_length=2000)] | None = None
    reply_to: str | None = None
    emotes: Annotated[list[str], msgspec.Meta(max_length=2000)] | None = None


class Gift(UserEvent, tag="gift", kw_only=True):
    """A gift; with `streak` the running total of a series that re-sends itself. `value` is of one."""

    gift: Annotated[str, msgspec.Meta(max_length=128)]
    count: Count
    value: Annotated[float, msgspec.Meta(ge=0, le=2**53 - 1)]
    streak: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    streak_end: bool = False


class Like(UserEvent, tag="like", kw_only=True):
    """Likes since this user's previous like event."""

    count: Count


class Join(UserEvent, tag="join", kw_only=True):
    """The user came into the room."""


class Leave(UserEvent, tag="leave", kw_only=True):
    """The user left the room."""


class Follow(UserEvent, tag="follow", kw_only=True):
    """The user follows the host."""


class Unfollow(UserEvent, tag="unfollow", kw_only=True):
    """The user follows the host no longer."""


class Share(UserEvent, tag="share", kw_only=True):
    """The user shared the room."""


class Report(UserEvent, tag="report", kw_only=True):
    """`user` reports `target`."""

    target: Id
    target_event: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class Moderation(UserEvent, tag="moderation", kw_only=True):
    """A human acted in the room. `duration_s` None means until undone."""

    verb: Verb
    target: Id
    target_event: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    duration_s: Annotated[float, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


class Appeal(UserEvent, tag="appeal", kw_only=True):
    """The user appeals against an action."""

    action: Id
    text: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class RoomEvent(Event, kw_only=True):
    """What an edge may say of a room as a whole."""

    title: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    tags: Annotated[list[str], msgspec.Meta(max_length=100)] | None = None
    region: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    lang: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    host: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class RoomOpen(RoomEvent, tag="room_open", kw_only=True):
    """The room goes live."""


class RoomClose(RoomEvent, tag="room_close", kw_only=True):
    """The room ends."""


class Viewers(Event, tag="viewers", kw_only=True):
    """How many watch now."""

    count: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


AnyEvent = (
    Chat
    | Gift
    | Like
    | Join
    | Leave
    | Follow
    | Unfollow
    | Share
    | Report
    | Moderation
    | Appeal
    | RoomOpen
    | RoomClose
    | Viewers
)

KINDS: tuple[str, ...] = (
    "chat",
    "gift",
    "like",
    "join",
    "leave",
    "follow",
    "unfollow",
    "share",
    "report",
    "moderation",
    "appeal",
    "room_open",
    "room_close",
    "viewers",
)


class Control(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A control record: whatever but an event changed a decision. `type` says what; unused fields are absent.

    expect_raid  a host announced a wave: `from_room`, `size` (people), `ttl_s`
    config       the room was judged by configuration `config` from here on
    grace        nothing acts on rates until `ttl_s` from here (start, reconnect, reload)
    reset        the room lost its memory here; what survived is in `state` (see `engine.snapshot`), grace for `ttl_s`
    shed         `count` events of `kind` were not judged
    override     the operator set `settings` for `ttl_s`
    undo         take back `action` (id); `kind`, `user`, `rule`, `until`, `events` say what it was, for a room that
                 forgot it
    enforced     the edges enforced `actions`
    expire       a timer ran the deadlines due at `ts`
    """

    type: Literal["expect_raid", "config", "grace", "reset", "shed", "override", "undo", "enforced", "expire"]
    room: Id
    ts: float
    from_room: str | None = None
    size: int | None = None
    ttl_s: float | None = None
    config: str | None = None
    action: str | None = None
    actions: list[str] | None = None
    events: list[str] | None = None
    kind: str | None = None
    user: str | None = None
    rule: str | None = None
    until: float | None = None
    count: int | None = None
    settings: dict[str, str | float | bool] | None = None
    state: msgspec.Raw = msgspec.Raw()
