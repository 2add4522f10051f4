"""A room at rest: everything it knows as JSON, and what survives when it has lost its memory.

A snapshot is only ever read by the same or a later program of the same guard: windows are found again by their names,
which are derived from what they count; a window that the program no longer keeps is dropped, a new one starts empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from sortedcontainers import SortedList

from roomguard.engine.modes import settle_end
from roomguard.engine.penalties import Penalty, PenaltyKind
from roomguard.engine.portions import Portions, T
from roomguard.engine.program import Program
from roomguard.model.actions import Action
from roomguard.model.events import NEVER

if TYPE_CHECKING:
    from roomguard.engine.room import RoomGuard

VERSION = 1
USERS_A_PORTION = 128
"""About a millisecond: for twenty thousand at once everybody else would wait for a fifth of a second."""


def _finite(value: float) -> float | None:
    return None if value in (inf, NEVER) else value


def dump(room: RoomGuard) -> Portions[bytes]:
    """The whole room. It must not change meanwhile."""
    people = room.program.people
    users: list[bytes] = []
    for some in _some_at_a_time(list(room.users.items())):
        users.append(msgspec.json.encode([[name, *people.row(user)] for name, user in some])[1:-1])
        yield
    slots: dict[str, msgspec.Raw] = {}
    for name, slot in _kept_slots(room.slots):
        slots[name] = _raw(_dump_slot(slot))
        yield
    yield
    head = {
        "version": VERSION,
        "now": _finite(room.now),
        "opened": _finite(room.opened),
        "viewers": room.viewers,
        "about": [room.tags, room.lang, room.region, room.host],
        "staff": list(room.staff),
        "fields": people.names,
    }
    tail = {
        "slots": slots,
        "penalties": room.penalties.dump(),
        "strikes": room.strikes.dump(),
        "brakes": room.brakes.dump(),
        "grace": _finite(room.grace_until),
        "raid": [_finite(room.raid_until), room.raid_size],
        "restriction": None if room.restriction is None else attrs.asdict(room.restriction),
        "restricted": _finite(room.restricted_until),
        "holds": list(room._holds or ()),  # noqa: SLF001 - this module is the room's other half
        "undone": list(room._undone),  # noqa: SLF001
        "stance": room.stance.dump(),
    }
    # Put together by hand, so that what may be megabytes is copied once.
    end = b"],%b" % msgspec.json.encode(tail)[1:]
    return b"".join((msgspec.json.encode(head)[:-1], b',"users":[', *_with_commas(users), end))


def load(room: RoomGuard, raw: bytes) -> Portions[None]:
    """Fill an empty room. Raises ValueError for data that is no snapshot."""
    try:
        parts = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        yield
        users = msgspec.json.decode(parts.pop("users"), type=list[msgspec.Raw])
        yield
        slots = msgspec.json.decode(parts.pop("slots"), type=dict[str, msgspec.Raw])
        data = {name: msgspec.json.decode(part) for name, part in parts.items()}
        if data["version"] != VERSION:
            raise ValueError(f"snapshot version {data['version']} is unknown")
        yield from _load(room, data, users, slots)
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no snapshot of a room: {error!r}") from error


def _load(
    room: RoomGuard, data: dict[str, Any], users: Sequence[msgspec.Raw], slots: Mapping[str, msgspec.Raw]
) -> Portions[None]:
    room.now = _or(data["now"], NEVER)
    room.opened = _or(data["opened"], NEVER)
    room.viewers = data["viewers"]
    _load_people(room, data)
    names, people = tuple(data["fields"]), room.program.people
    room.users = {}
    for some in _some_at_a_time(users):
        rows = map(msgspec.json.decode, some)
        room.users.update((row[0], people.user(names, row[1:])) for row in rows)
        yield
    for name, content in slots.items():
        _load_slot(room, name, msgspec.json.decode(content))
        yield
    room.grace_until = _or(data["grace"], NEVER)
    room.raid_until, room.raid_size = _or(data["raid"][0], NEVER), data["raid"][1]
    restriction = data["restriction"]
    room.restriction = None if restriction is None else _action(restriction)
    room.restricted_until = _or(data["restricted"], NEVER)
    room._undone = dict.fromkeys(data["undone"])  # noqa: SLF001
    _load_stance(room, data)


def _some_at_a_time(users: Sequence[T]) -> Iterator[Sequence[T]]:
    return (users[first : first + USERS_A_PORTION] for first in range(0, len(users), USERS_A_PORTION))


def _with_commas(parts: Sequence[bytes]) -> Iterator[bytes]:
    return (piece for place, part in enumerate(parts) for piece in ((b",", part) if place else (part,)))


def _raw(data: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(data))


def _load_people(room: RoomGuard, data: dict[str, Any]) -> None:
    """What a snapshot and survivors have in common."""
    tags, room.lang, room.region, room.host = data["about"]
    room.tags = tuple(tags)
    room.adopt(room.program)
    room.staff = dict.fromkeys(data["staff"])
    room.penalties.load(data["penalties"])
    room.strikes.load(data["strikes"])
    room.brakes.load(data["brakes"])
    # Four parts in snapshots from before messages could be made to wait.
    holds = ((*hold, "") if len(hold) == 4 else tuple(hold) for hold in data["holds"])
    room._holds = SortedList(holds) if data["holds"] else None  # noqa: SLF001
    room.set_deadline()


def _load_stance(room: RoomGuard, data: dict[str, Any]) -> None:
    """The last of all: strategy, overrides and mode follow from what the room is and what time it is."""
    room.stance.load(room, data["stance"])
    room.set_deadline()


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _kept_slots(slots: Any) -> Iterator[tuple[str, Any]]:
    """The windows that were needed so far, and the levels of limits."""
    kept = ((name, getattr(slots, name)) for name in slots.__struct_fields__)
    return ((name, slot) for name, slot in kept if slot is not None)


def _dump_slot(slot: Any) -> Any:
    return slot if isinstance(slot, float) else slot.dump()


def _load_slot(room: RoomGuard, name: str, content: Any) -> None:
    slots = room.slots
    if name not in slots.__struct_fields__:
        return
    if isinstance(getattr(slots, name), float):
        setattr(slots, name, content)
    else:
        room.window(name).load(content)


def _action(data: dict[str, Any]) -> Action:
    for name in ("causes", "events"):
        data[name] = _tuple(data[name])
    return Action(**data)


def move(room: RoomGuard, program: Program) -> None:
    """Judge by another program from now on, keeping every window that both know."""
    before = room.program
    room.adopt(program)
    if room.stance.wave is not None:
        settle_end(room, room.stance.wave)
    room.set_deadline()
    caps = program.settings.caps
    forgotten = room.penalties.forgotten
    room.penalties.limit(caps.penalties)
    room.tally.forgotten_penalties += room.penalties.forgotten - forgotten
    room.strikes.limit(caps.penalties)
    old_slots, room.slots = room.slots, program.slots_class()
    for name, slot in _kept_slots(old_slots):
        if program.keeps_window(name, before):
            setattr(room.slots, name, slot)
        else:
            _load_slot(room, name, _dump_slot(slot))
    old, new = before.people, program.people
    if old != new:
        carried = new.carrier(old)
        room.users = {name: carried(user) for name, user in room.users.items()}


def survivors(actions: Iterable[Action]) -> bytes:
    """What a room starts with after it lost its memory: the penalties and restriction of the journal.

    Meant as the `state` of a `reset` control record.
    """
    return msgspec.json.encode({"actions": [attrs.asdict(action) for action in actions]})


def dump_survivors(room: RoomGuard) -> bytes:
    """What of a room outlives its windows: what it is, who is staff, penalties (a human's too), strikes, holds."""
    data = {
        "about": [room.tags, room.lang, room.region, room.host],
        "staff": list(room.staff),
        "penalties": room.penalties.dump(),
        "strikes": room.strikes.dump(),
        "brakes": room.brakes.dump(),
        "holds": list(room._holds or ()),  # noqa: SLF001 - this module is the room's other half
        "actions": [] if room.restriction is None else [attrs.asdict(room.restriction)],
        "stance": room.stance.dump(),
    }
    return msgspec.json.encode(data)


def load_survivors(room: RoomGuard, raw: bytes) -> None:
    """Put back in force what `survivors` or `dump_survivors` wrote down."""
    survived = msgspec.json.decode(raw)
    if "about" in survived:
        _load_people(room, survived)
    for data in survived["actions"]:
        action = _action(data)
        if action.kind == "restrict":
            room.restrict(action)
        elif action.user is not None and action.kind in ("mute", "kick"):
            endless = action.until is None
            until = action.at + room.program.settings.kick_s if action.until is None else action.until
            kind: PenaltyKind = "kick" if action.kind == "kick" else "mute"
            room.punish(Penalty(kind, action.user, until, action.id, action.at, endless, action))
    if "stance" in survived:
        _load_stance(room, survived)
