"""The feature catalogue: every name a rule may use, what it means, and the source that keeps and reads it.

Built-in features are properties of the event, of its text, of the user and of the room. Declared features are windows:
`[features.NAME]` in config.toml says what is counted (`kind`), for whom (`key`), over which events, how long back, and
under which condition. Each is kept once however many rules ask for it, and not at all while none does.

This module yields Python source; `engine.program` puts it together into one function for each event kind.
"""

from __future__ import annotations

import hashlib
import keyword
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from math import ceil, inf

import attrs

from roomguard.engine import windows
from roomguard.engine.nesting import Block
from roomguard.engine.pace import MOST_WAIT_S
from roomguard.engine.rules.language import (
    Kind,
    RuleError,
    Scope,
    Symbol,
    compile_condition,
    compile_number,
)
from roomguard.engine.rules.operands import Operand, split
from roomguard.engine.settings import CapSettings, FeatureSettings, LimitSettings
from roomguard.engine.sketch import MOST
from roomguard.engine.text.facts import Facts
from roomguard.engine.traces import MOST_SAID
from roomguard.engine.users import CHATS
from roomguard.engine.windows import PRUNED_EVERY, SIZE

JUDGED_KINDS = ("chat", "gift", "like", "join", "leave", "follow", "unfollow", "share", "report")
"""Event kinds that rules may listen to."""

WHO = "(who := ev.who)"
"""What the edge knows of the user, looked up where it is first needed."""
_WHO = f"({{0}} if {WHO} is not None else None)"


@attrs.frozen
class Entry:
    """One line of the catalogue."""

    symbol: Symbol
    unit: str
    meaning: str
    events: tuple[str, ...]


def _entry(name: str, kind: Kind, code: str, unit: str, meaning: str, **more: typing.Any) -> Entry:
    events = more.pop("events", JUDGED_KINDS)
    return Entry(Symbol(name, kind, code, **more), unit, meaning, events)


def _who(name: str, kind: Kind, unit: str, meaning: str) -> Entry:
    code = _WHO.format(f"who.{name}")
    # A report is about its target; what the edge knows of the reporter is no feature of theirs.
    events = tuple(kind for kind in JUDGED_KINDS if kind != "report")
    return _entry(name, kind, code, unit, meaning, nullable=True, costly=True, events=events)


BASE: tuple[Entry, ...] = (
    _entry("user_age_s", Kind.NUMBER, "(now - user.first)", "seconds", "since the user was first seen in this room"),
    _entry("user_chats", Kind.NUMBER, "user.chats", "messages", "the user's messages in this room, this one included"),
    _entry("user_gifted", Kind.NUMBER, "user.gifted", "value", "the value of the user's gifts in this room"),
    _entry(
        "user_strikes", Kind.NUMBER, "room.strikes_of(subject)", "strikes", "the user's strikes that have not decayed",
        costly=True, windowed=True,
    ),
    _entry("room_age_s", Kind.NUMBER, "(now - room.opened)", "seconds", "since the room's first event"),
    _entry("room_users", Kind.NUMBER, "len(room.users)", "users", "users remembered in this room"),
    _entry("viewers", Kind.NUMBER, "room.viewers", "users", "the edge's latest count of viewers", nullable=True),
    _entry("restricted", Kind.BOOL, "(room.restricted_until > now)", "", "a restriction of the room is in force"),
    _entry("raid_expected", Kind.BOOL, "room.expects_raid(now)", "", "a wave was announced, and is no larger so far"),
    _entry("mode", Kind.TEXT, "room.stance.mode", "", "the room's mode: calm, elevated or raid"),
    _entry("cohort", Kind.BOOL, "(user.first >= room.stance.wave_since)", "", "the user is of the wave behind it"),
    _who("role", Kind.TEXT, "", "viewer, subscriber, vip, moderator or host"),
    _who("account_age_s", Kind.NUMBER, "seconds", "age of the account on the platform"),
    _who("follower", Kind.BOOL, "", "the user follows the host"),
    _who("level", Kind.NUMBER, "level", "the platform's level of the user"),
    _who("device", Kind.TEXT, "", "opaque hash of the user's device"),
    _who("net", Kind.TEXT, "", "opaque hash of the user's network"),
    _entry("text", Kind.TEXT, "ev.text", "", "the message as sent", events=("chat",)),
    _entry("lang", Kind.TEXT, "ev.lang", "", "the message's language by the edge", nullable=True, events=("chat",)),
    _entry("is_reply", Kind.BOOL, "(ev.reply_to is not None)", "", "the message answers another", events=("chat",)),
    _entry(
        "tagged", Kind.NUMBER, "(len(ev.mentions) if ev.mentions is not None else None)", "users",
        "users the edge says are mentioned", nullable=True, events=("chat",),
    ),
    _entry("gift", Kind.TEXT, "ev.gift", "", "the gift's name", events=("gift",)),
    _entry("gift_count", Kind.NUMBER, "fresh", "gifts", "new gifts of this event; a streak counts only what is new",
           events=("gift",)),
    _entry("gift_value", Kind.NUMBER, "(fresh * ev.value)", "value", "value of the new gifts", events=("gift",)),
    _entry("like_count", Kind.NUMBER, "ev.count", "likes", "likes of this event", events=("like",)),
    _entry("report_reason", Kind.TEXT, "ev.reason", "", "what the reporter says", nullable=True, events=("report",)),
)  # fmt: skip

BEHIND: Mapping[str, str] = {"text_spam": "text_spam_grams"}
"""Features to what stands behind them: told as evidence wherever the feature is, and worked out for nothing else."""
MOST_ASKED: Mapping[str, int] = {"mentions": 50, "tagged": 50}
"""The most a rule may compare these with: to let more names be called in one message is a slip of the pen."""
_FACT_KINDS = {int: Kind.NUMBER, float: Kind.NUMBER, bool: Kind.BOOL, str: Kind.TEXT}


def fact_entries() -> Iterator[Entry]:
    """The facts of a text, read off the Facts class so that there is one place to add one."""
    hints = typing.get_type_hints(Facts)
    for name, hint in hints.items():
        if name.startswith("_"):
            continue
        nullable = isinstance(hint, types.UnionType)
        plain = next(part for part in typing.get_args(hint) if part is not type(None)) if nullable else hint
        kind = _FACT_KINDS.get(plain, Kind.TEXTS)
        later = isinstance(getattr(Facts, name), property)
        yield _entry(name, kind, f"f.{name}", "", "", nullable=nullable, costly=later, events=("chat",))


_KEYED: Mapping[str, tuple[str, str]] = {
    "text": ("(skeleton := f.skeleton)", "skeleton"),
    "near": ("(near := f.near_skeleton)", "near"),
    "domain": ("f.domains", "f.domains[0]"),
    "device": (f"{WHO} is not None and (device := who.device) is not None", "device"),
    "net": (f"{WHO} is not None and (net := who.net) is not None", "net"),
}
"""Source of whether there is a key for windows kept for something else than a user or the room, and of the key."""
_TRACE = "(trace := f._trace or f.leave_trace())"
"""Source of what a message leaves for windows kept by what texts nearly say; see `engine.traces`."""
_CHAT_ONLY = {"text", "near", "domain", "user_text", "user_near"}
_OF_CHAT = {"text", "near", "domain"}
SHORTEST_WINDOW_S = 0.001
"""Below it a window would be lost in the rounding of room time."""
MOST_USER_ENTRIES = 1_024
"""Entries of one user's window that a rule or limit may ask for; every event of a busy user copies them."""
_TOLERANCE_S = 1e-6
"""What rounding may do to the times a gcra limit adds up; room time itself is known to a quarter of a microsecond."""
_OPENING = Operand("room.opening", ())
"""A gift that opens a streak or stands alone: what re-sends itself is one gift, not many."""
_DISTINCT_OF = {"user": ("", "ev.user"), **_KEYED}
ROOM_WINDOWS: Mapping[str, windows.WindowClass] = {
    "count": windows.Count,
    "rate": windows.Count,
    "sum": windows.Sum,
    "distinct": windows.Distinct,
    "members": windows.Members,
    "ratio": windows.Ratio,
    "ewma": windows.Ewma,
    "zscore": windows.ZScore,
}
_COMMON = {"chat", "like", "join", "leave"}
"""Kinds that most users send: what they count stands in a user's record itself."""
_USER_READ = {
    "count": "since({slot}, now - {window})",
    "rate": "(since({slot}, now - {window}) / {window})",
    "sum": "total({slot}, now - {window})",
    "distinct": "different({slot}, now - {window})",
    "gap": "mean_gap({slot}, now - {window})",
    "regularity": "regularity({slot}, now - {window})",
}
_ROOM_CEILING = {"count": "len({}.times)", "distinct": "{}.most()", "members": "len({}.seen)"}
_TIMES = {"count", "rate", "gap", "regularity"}


@attrs.define
class Stream:
    """Something kept: one field of every user, or one object of the room.

    `name` is derived from what is kept, so that a reload and a snapshot find it again.
    """

    name: str
    place: typing.Literal["user", "room"]
    horizon: float
    cap: int
    shape: str
    """One of `users.EMPTY` for a user; the kind of window for a room, members for that of a cluster."""
    keyed: bool
    updates: dict[str, Block]
    """Event kind to the source that counts it."""
    traced: bool = False
    """Kept by what texts nearly say."""
    often: bool = False
    """Most users need it: a field of their record; else of their second one."""
    chats: bool = False
    """The times of all chats, which every user has."""

    @property
    def window(self) -> str:
        """Source of the room's window, which is made when it is first needed."""
        return f"(slots.{self.name} or room.window({self.name!r}))"

    @property
    def read(self) -> str:
        """Source of a user's window, to be read."""
        if self.chats:
            return f"user.{CHATS}"
        return f"user.{self.name}" if self.often else f"(user.more or user.nothing).{self.name}"

    @property
    def written(self) -> str:
        """Source of a user's window, to be written to."""
        return f"user.{self.name}" if self.often else f"(user.more or user.rare()).{self.name}"


@attrs.define
class Declared:
    """A declared feature or limit on its way into a program."""

    name: str
    symbol: Symbol
    stream: Stream
    events: tuple[str, ...]
    window: float
    readable: tuple[str, ...] = JUDGED_KINDS
    """Event kinds whose rules may read it: all for users and rooms, those that carry the key for others."""
    counts: bool = False
    """A plain count: a rule that compares it with T needs no more than the last T + 1 entries."""
    reach: float = inf
    """It saturates here: comparing it with this or more would say nothing."""


def usable_name(name: str) -> bool:
    """Whether a rule can name it."""
    return name.isidentifier() and not keyword.iskeyword(name)


def limit_of(symbol: str) -> str | None:
    """The limit that a symbol is about, such as `over(chat)` or `wait_s(chat)`; None if it is about none."""
    function, bracket, rest = symbol.partition("(")
    return rest.removesuffix(")") if bracket and function in ("over", "wait_s") else None


def names_in(*expressions: str) -> set[str]:
    """All words of expressions, whatever they are."""
    return {word for text in expressions for word in re.findall(r"\w+", text)}


def _stream_name(*parts: object) -> str:
    return "s_" + hashlib.blake2b(repr(parts).encode(), digest_size=5).hexdigest()


def _is_often(events: Iterable[str], where: str) -> bool:
    """Whether most users will have such events."""
    return not where and not _COMMON.isdisjoint(events)


def _one_more(stream: Stream) -> tuple[str, ...]:
    """Source that adds the time of this event. Few times are not looked through for what has run out."""
    slot = stream.written
    return (
        f"if len({slot}) < BARE_{stream.name}: {slot} += pack(now)",
        f"else: {slot} = push({slot}, now, now - HORIZON_{stream.name}, CAP_{stream.name})",
    )


def _operands(guards: Iterable[str]) -> tuple[Operand, ...]:
    return tuple(Operand(guard, ()) for guard in guards)


def parse_rate(text: str) -> tuple[float, float]:
    """(count, seconds) of "8/10s", "300/5m", "1/h" or "20/75". Raises RuleError."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    head, _, tail = text.partition("/")
    tail = tail.strip()
    unit = units.get(tail[-1:])
    number = tail[:-1] if unit is not None else tail
    try:
        count, seconds = float(head), float(number or "1") * (unit or 1.0)
    except ValueError:
        count = seconds = 0.0
    if not tail or not (0 < count < inf) or not (0 < seconds < inf):
        raise RuleError(f'{text!r} is no rate; write COUNT/WINDOW such as "8/10s" or "300/5m"')
    return count, seconds


@attrs.define
class Catalogue:
    """All names of one configuration, and the streams behind them."""

    caps: CapSettings
    thresholds: Mapping[str, float]
    constants: dict[str, typing.Any]
    clusters: frozenset[str] = frozenset()
    """Distinct counts of users whose members rules act on."""
    exempt_roles: tuple[str, ...] = ()
    entries: dict[str, Entry] = attrs.field(init=False)
    declared: dict[str, Declared] = attrs.field(factory=dict)
    limits: dict[str, Declared] = attrs.field(factory=dict)
    waits: dict[str, Symbol] = attrs.field(factory=dict)
    """Of the limits that say how long to wait, what says it."""

    def __attrs_post_init__(self) -> None:
        """Start with what is built in."""
        self.entries = {entry.symbol.name: entry for entry in (*BASE, *fact_entries())}

    def plain_scope(self, kind: str) -> Scope:
        """What a `where` may name: event, text, user and room, but no windows (they are not up to date yet)."""
        symbols = {name: e.symbol for name, e in self.entries.items() if kind in e.events and not e.symbol.windowed}
        return Scope(symbols, self.constants, self.thresholds)

    def rule_scope(self, kind: str, thresholds: Mapping[str, float]) -> Scope:
        """What a rule on events of `kind` may name."""
        symbols = {name: entry.symbol for name, entry in self.entries.items() if kind in entry.events}
        for name, feature in self.declared.items():
            if kind in feature.readable:
                symbols[name] = feature.symbol
        limits = {name: limit.symbol for name, limit in self.limits.items() if kind in limit.events}
        waits = {name: wait for name, wait in self.waits.items() if name in limits}
        return Scope(symbols, self.constants, thresholds, limits, waits)

    # --- declared features -------------------------------------------------------------------------------------

    def declare(self, name: str, settings: FeatureSettings) -> None:
        """Add a declared feature. Raises RuleError."""
        self._check(name, settings)
        if settings.kind == "age":
            self._declare_age(name, settings)
        elif settings.key in ("user", "user_text", "user_near"):
            self._declare_user(name, settings)
        else:
            self._declare_room(name, settings)

    def _check(self, name: str, settings: FeatureSettings) -> None:
        if not usable_name(name):
            raise RuleError(f"{name!r} cannot be written in a rule; use letters, digits and _")
        if name in self.entries or name in self.thresholds:
            raise RuleError(f"{name!r} is already the name of a built-in feature or a threshold")
        unknown = [event for event in settings.events if event not in JUDGED_KINDS]
        if unknown or not settings.events:
            raise RuleError(f"must be some of {', '.join(JUDGED_KINDS)}", key="events")
        if not SHORTEST_WINDOW_S <= settings.window_s <= self.caps.window_s:
            most = f"{self.caps.window_s:g} (engine.caps.window_s)"
            raise RuleError(f"must be at most {most} and at least {SHORTEST_WINDOW_S:g}", key="window_s")
        if settings.key in _CHAT_ONLY and set(settings.events) != {"chat"}:
            raise RuleError(f'key = "{settings.key}" goes with events = ["chat"]', key="key")
        if settings.kind == "distinct" and settings.of in _OF_CHAT and set(settings.events) != {"chat"}:
            raise RuleError(f'of = "{settings.of}" goes with events = ["chat"]', key="of")
        if settings.kind in ("sum", "ratio") and not settings.of.strip():
            raise RuleError(f'kind = "{settings.kind}" needs an expression in `of`')
        if settings.key in ("device", "net") and "report" in settings.events:
            raise RuleError("a report says nothing of its target's device or net")

    def _declare_age(self, name: str, settings: FeatureSettings) -> None:
        if settings.key != "user":
            raise RuleError('kind = "age" goes with key = "user"')
        stream = self._stream(("age", settings.events, settings.where), "user", inf, 1, "moment", keyed=False)
        stream.often = _is_often(settings.events, settings.where)
        line = f"if {stream.read} is None: {stream.written} = now"
        self._fill(stream, settings, lambda _scope: Block((), (line,)))
        code = f"(now - {stream.read} if {stream.read} is not None else None)"
        self._add(name, settings, stream, Symbol(name, Kind.NUMBER, code, nullable=True, windowed=True))

    def _declare_user(self, name: str, settings: FeatureSettings) -> None:
        kind, window = settings.kind, settings.window_s
        if settings.key != "user":
            self._declare_user_text(name, settings)
            return
        if kind == "ratio":
            self._declare_user_ratio(name, settings)
            return
        read = _USER_READ.get(kind)
        if read is None:
            raise RuleError(f'kind = "{kind}" goes with key = "room" and the keys of texts, not with users')
        shape = "times" if kind in _TIMES else "pairs"
        identity = (shape, "user", settings.events, settings.where, settings.of if shape == "pairs" else "")
        stream = self._stream(identity, "user", window, self.caps.user_window, shape, keyed=False)
        self._place(stream, settings.events, settings.where)
        self._fill(stream, settings, lambda scope: self._user_update(stream, settings, scope))
        code = read.format(slot=stream.read, window=repr(window))
        nullable = kind in ("gap", "regularity")
        ceiling = {"count": f"len({{}}) / {SIZE}", "distinct": "len({}) / 2"}.get(kind, "").format(stream.read)
        symbol = Symbol(name, Kind.NUMBER, code, nullable, costly=True, windowed=True, ceiling=ceiling)
        self._add(name, settings, stream, symbol)

    def _declare_user_ratio(self, name: str, settings: FeatureSettings) -> None:
        every = self._stream(
            ("times", "user", settings.events, settings.where, ""),
            "user", settings.window_s, self.caps.user_window, "times", keyed=False,
        )  # fmt: skip
        self._place(every, settings.events, settings.where)
        self._fill(every, settings, lambda scope: self._user_update(every, settings, scope))
        both = f"({settings.where}) and ({settings.of})" if settings.where else settings.of
        some = self._stream(
            ("times", "user", settings.events, both, ""),
            "user", settings.window_s, self.caps.user_window, "times", keyed=False,
        )  # fmt: skip
        self._place(some, settings.events, both)
        filtered = attrs.evolve(settings, where=both)
        self._fill(some, filtered, lambda scope: self._user_update(some, filtered, scope))
        window = repr(settings.window_s)
        code = f"share({some.read}, {every.read}, now - {window})"
        symbol = Symbol(name, Kind.NUMBER, code, nullable=True, costly=True, windowed=True)
        self._add(name, settings, some, symbol)
        self.declared[f"{name}\0all"] = Declared(f"{name}\0all", symbol, every, settings.events, settings.window_s)

    def _declare_user_text(self, name: str, settings: FeatureSettings) -> None:
        if settings.kind != "count":
            raise RuleError(f'key = "{settings.key}" goes with kind = "count"')
        near = settings.key == "user_near"
        given, key = _KEYED["near" if near else "text"]
        identity = ("pairs", settings.key, settings.events, settings.where)
        shape = "traces" if near else "pairs"
        stream = self._stream(identity, "user", settings.window_s, MOST_SAID, shape, keyed=False)
        stream.often = True  # of most messages, whatever the condition: it will be about their length
        slot, cutoff = stream.read, f"now - HORIZON_{stream.name}"
        if near:
            update = Block(_operands((_TRACE,)), (f"{slot} = push_trace({slot}, trace, now, {cutoff})",))
        else:
            pushed = f"push_pair({slot}, now, {key}, {cutoff}, CAP_{stream.name})"
            update = Block(_operands((given,)), (f"{slot} = {pushed} if {slot} else (now, {key})",))
        self._fill(stream, settings, lambda _scope: update)
        asked = f"said_again(user, {stream.name!r}" if near else f"same({slot}"
        code = f"({asked}, {key}, now - {settings.window_s!r}) if {given} else None)"
        ceiling = f"{slot}[0]" if near else f"len({slot}) / 2"
        symbol = Symbol(
            name, Kind.NUMBER, code, nullable=True, costly=True, windowed=True, ceiling=ceiling, compares=near
        )
        self._add(name, settings, stream, symbol)

    def _user_update(self, stream: Stream, settings: FeatureSettings, scope: Scope) -> Block:
        if stream.shape == "times":
            return Block((), _one_more(stream))
        value, guards = self._carried(settings, scope)
        slot = stream.written
        line = f"{slot} = push_pair({slot}, now, {value}, now - HORIZON_{stream.name}, CAP_{stream.name})"
        return Block(_operands(guards), (line,))

    def _carried(self, settings: FeatureSettings, scope: Scope) -> tuple[str, tuple[str, ...]]:
        """Source of what an event adds to a sum or a distinct count."""
        if settings.kind == "sum":
            code, guards = compile_number(settings.of, scope)
            if "/" not in code:
                return code, guards
            # A quotient may be infinite, which no later event could take out of a sum again.
            return "what", (*guards, f"-1e300 < (what := {code}) < 1e300")
        source = _DISTINCT_OF.get(settings.of or "user")
        if source is None:
            raise RuleError(f"of must be one of {', '.join(_DISTINCT_OF)}")
        guard, value = source
        return value, (guard,) if guard else ()

    def _declare_room(self, name: str, settings: FeatureSettings) -> None:
        kind, keyed = settings.kind, settings.key != "room"
        if kind not in ROOM_WINDOWS:
            raise RuleError(f'kind = "{kind}" goes with key = "user"')
        shape = "members" if name in self.clusters else kind
        identity = (shape, settings.key, settings.events, settings.where, settings.of, settings.window_s)
        cap = self.caps.distinct if kind == "distinct" else self.caps.room_window
        stream = self._stream(identity, "room", settings.window_s, cap, shape, keyed=keyed)
        stream.traced = settings.key == "near"
        self._fill(stream, settings, lambda scope: self._room_update(stream, settings, scope))
        scale = f" / {settings.window_s!r}" if kind == "rate" else ""
        if keyed:
            given, key = _KEYED[settings.key]
            code = f"({stream.window}.value({key}, now){scale} if {given} else None)"
        else:
            code = f"{stream.window}.value(now){scale}"
        nullable = keyed or kind in ("ratio", "ewma", "zscore")
        ceiling = "" if keyed else _ROOM_CEILING.get(shape, "").format(stream.window)
        symbol = Symbol(
            name, Kind.NUMBER, code, nullable, costly=True, windowed=True, ceiling=ceiling, compares=stream.traced
        )
        self._add(name, settings, stream, symbol)

    def _room_update(self, stream: Stream, settings: FeatureSettings, scope: Scope) -> Block:
        target, prune = f"{stream.window}.hit", f"slots.{stream.name}.prune(now)"
        guards: tuple[str, ...] = ()
        if stream.shape == "members":
            value = f", (ev.user, {self._cause_source()})"
        elif settings.kind in ("sum", "distinct"):
            carried, guards = self._carried(settings, scope)
            value = f", {carried}"
        elif settings.kind == "ratio":
            value = f", {compile_condition(settings.of, scope).true}"
        else:
            value = ""
        if stream.shape in ("count", "rate") and not stream.keyed:
            # What `Count.hit` does, without the call: every message is counted by one or two of them.
            lines = f"(times := {stream.window}.times).append(now)", f"if not len(times) % {PRUNED_EVERY}: {prune}"
            return Block(_operands(guards), lines)
        if not stream.keyed:
            return Block(_operands(guards), (f"{target}(now{value})",))
        if stream.traced:
            return Block(_operands((_TRACE, *guards)), (f"{stream.window}.note(trace, now{value})",))
        given, key = _KEYED[settings.key]
        return Block(_operands((given, *guards)), (f"{target}({key}, now{value})",))

    def _cause_source(self) -> str:
        """Source of the event a cluster holds against its user: none of those who are exempt by their role."""
        if not self.exempt_roles:
            return "ev.id"
        return f'ev.id if {WHO} is None or who.role not in {self.exempt_roles!r} else ""'

    def _fill(self, stream: Stream, settings: FeatureSettings, update: typing.Callable[[Scope], Block]) -> None:
        """Write the update source for each event kind, inside the feature's condition."""
        for event in settings.events:
            if event in stream.updates:
                continue
            scope = self.plain_scope(event)
            operands = split(settings.where, scope) if settings.where else ()
            if event == "gift" and settings.kind not in ("sum", "distinct", "age"):
                operands = (_OPENING, *operands)
            block = update(scope)
            stream.updates[event] = Block((*operands, *block.operands), block.lines)

    def _stream(
        self, identity: tuple[object, ...], place: typing.Literal["user", "room"], horizon: float, cap: int, shape: str,
        *, keyed: bool,
    ) -> Stream:  # fmt: skip
        name = _stream_name(place, *identity)
        for feature in (*self.declared.values(), *self.limits.values()):
            if feature.stream.name == name:
                stream = feature.stream
                stream.horizon = max(stream.horizon, horizon)
                stream.updates.clear()
                return stream
        return Stream(name, place, horizon, cap, shape, keyed, {})

    def _add(self, name: str, settings: FeatureSettings, stream: Stream, symbol: Symbol) -> None:
        readable: tuple[str, ...] = JUDGED_KINDS
        if settings.key in _CHAT_ONLY:
            readable = ("chat",)
        elif settings.key in ("device", "net"):
            readable = tuple(kind for kind in JUDGED_KINDS if kind != "report")
        counts = settings.kind == "count"
        reach = self.caps.distinct if stream.shape == "members" else self._reach(settings)
        self.declared[name] = Declared(
            name, symbol, stream, settings.events, settings.window_s, readable, counts, reach
        )

    def _reach(self, settings: FeatureSettings) -> float:
        """Where a feature saturates; infinite for what is no number of things."""
        if settings.key in ("user_text", "user_near"):
            return MOST_SAID
        if settings.kind == "distinct":
            return self.caps.user_window if settings.key == "user" else MOST
        if settings.kind not in ("count", "rate"):
            return inf
        if settings.key == "user":
            return MOST_USER_ENTRIES if settings.kind == "count" else self.caps.user_window / settings.window_s
        return self.caps.room_window if settings.kind == "count" else self.caps.room_window / settings.window_s

    @staticmethod
    def _place(stream: Stream, events: tuple[str, ...], where: str) -> None:
        """Say where a user's window is kept."""
        stream.often = _is_often(events, where)
        stream.chats = stream.shape == "times" and events == ("chat",) and not where

    # --- limits ------------------------------------------------------------------------------------------------

    def limit(self, name: str, settings: LimitSettings) -> None:
        """Add a rate limit. Raises RuleError."""
        count, seconds = parse_rate(settings.rate)
        unknown = [event for event in (*settings.events, *settings.weights) if event not in JUDGED_KINDS]
        if unknown:
            raise RuleError(
                f"{unknown[0]!r} is no event kind a limit can count: {', '.join(JUDGED_KINDS)}", key="events"
            )
        if not settings.events:
            raise RuleError("events must name at least one kind", key="events")
        if seconds > self.caps.window_s:
            raise RuleError(f"the window is longer than engine.caps.window_s ({self.caps.window_s:g} s)")
        if seconds < SHORTEST_WINDOW_S:
            raise RuleError(f"the window is shorter than {SHORTEST_WINDOW_S:g} s")
        if settings.key in ("device", "net") and "report" in settings.events:
            raise RuleError("a report says nothing of its target's device or net")
        for event, weight in settings.weights.items():
            if event not in settings.events:
                raise RuleError(f"weights: {event!r} is not among the events of this limit", key="weights")
            if not 0 <= weight < inf:
                raise RuleError("a weight must be at least 0; an event of weight 0 is free", key="weights")
        if settings.algorithm == "gcra":
            self._gcra(name, settings, count, seconds)
        elif settings.algorithm == "pace":
            self._pace(name, settings, count, seconds)
        else:
            self._window_limit(name, settings, count, seconds)

    def _cost(self, event: str, settings: LimitSettings) -> str:
        weight = settings.weights.get(event, 1.0)
        return f"(ev.count * {weight!r})" if event == "like" else repr(weight)

    def _window_limit(self, name: str, settings: LimitSettings, count: float, seconds: float) -> None:
        weighted = bool(settings.weights) or "like" in settings.events
        keyed = settings.key in ("device", "net")
        # So many events reach the limit whatever they weigh; a like event has one like at least.
        cheapest = min((w for event in settings.events if (w := settings.weights.get(event, 1.0)) > 0), default=1.0)
        cap = ceil(count / cheapest) + 2
        most = MOST_USER_ENTRIES if settings.key == "user" else self.caps.room_window
        if cap > most:
            raise RuleError(f'more than {most} events would have to be remembered; use algorithm = "gcra"')
        if settings.key == "user":
            shape = "pairs" if weighted else "times"
            stream = self._stream(("limit", name, settings), "user", seconds, cap, shape, keyed=False)
            stream.often = _is_often(settings.events, "")
        else:
            shape = "sum" if weighted else "count"
            stream = self._stream(("limit", name, settings), "room", seconds, cap, shape, keyed=keyed)
        reading = self._limit_reading(stream, seconds, _KEYED[settings.key][1] if keyed else "")
        for event in settings.events:
            if settings.weights.get(event) == 0:
                continue
            block = self._limit_update(stream, settings, event, weighted=weighted)
            opening = (_OPENING,) if event == "gift" else ()
            stream.updates[event] = Block((*opening, *block.operands), block.lines)
        code = f"({self._early(stream, count)}{reading} > {count!r})"
        if keyed:
            code = f"({reading} > {count!r} if {_KEYED[settings.key][0]} else None)"
        symbol = Symbol(f"over({name})", Kind.BOOL, code, nullable=keyed, costly=True, windowed=True)
        self.limits[name] = Declared(name, symbol, stream, settings.events, seconds)

    @staticmethod
    def _early(stream: Stream, count: float) -> str:
        """A plain count is not over a limit while fewer events than that are kept: no need to look at their times."""
        if stream.shape == "times":
            return f"len({stream.read}) > {count * SIZE!r} and "
        return f"len({stream.window}.times) > {count!r} and " if stream.shape == "count" else ""

    @staticmethod
    def _limit_reading(stream: Stream, seconds: float, key: str) -> str:
        if stream.place == "room":
            return f"{stream.window}.value({f'{key}, ' if key else ''}now)"
        function = "since" if stream.shape == "times" else "total"
        return f"{function}({stream.read}, now - {seconds!r})"

    def _limit_update(self, stream: Stream, settings: LimitSettings, event: str, *, weighted: bool) -> Block:
        cost = self._cost(event, settings)
        if stream.place == "user":
            slot = stream.written
            if weighted:
                pushed = f"push_pair({slot}, now, {cost}, now - HORIZON_{stream.name}, CAP_{stream.name})"
                return Block((), (f"{slot} = {pushed}",))
            return Block((), _one_more(stream))
        value = f", {cost}" if weighted else ""
        if not stream.keyed:
            return Block((), (f"{stream.window}.hit(now{value})",))
        given, key = _KEYED[settings.key]
        return Block(_operands((given,)), (f"{stream.window}.hit({key}, now{value})",))

    def _gcra(self, name: str, settings: LimitSettings, count: float, seconds: float) -> None:
        if settings.key not in ("user", "room"):
            raise RuleError('algorithm = "gcra" goes with key = "user" or "room"')
        interval, burst = seconds / count, float(settings.burst or count)
        place: typing.Literal["user", "room"] = "user" if settings.key == "user" else "room"
        stream = self._stream(("gcra", name, settings), place, inf, 1, "number", keyed=False)
        stream.often = _is_often(settings.events, "")
        slot = stream.written if place == "user" else f"slots.{stream.name}"
        flag = f"o_{stream.name}"
        for event in settings.events:
            if settings.weights.get(event) == 0:
                stream.updates[event] = Block((), (f"{flag} = False",))
                continue
            # Counted from the room's first event: sums of small numbers keep their digits, sums of Unix times do not.
            lines = [
                "at = now - room.opened",
                f"tat = ({slot} if {slot} > at else at) + {self._cost(event, settings)} * {interval!r}",
                f"{flag} = tat - at > {burst * interval + _TOLERANCE_S!r}",
                f"if not {flag}: {slot} = tat",
            ]
            if event == "gift":
                lines = [f"{flag} = False", f"if {_OPENING.true}:", *(f"    {line}" for line in lines)]
            stream.updates[event] = Block((), tuple(lines))
        symbol = Symbol(f"over({name})", Kind.BOOL, flag, windowed=True)
        self.limits[name] = Declared(name, symbol, stream, settings.events, seconds)

    def _pace(self, name: str, settings: LimitSettings, count: float, seconds: float) -> None:
        if settings.key != "user" or settings.events != ("chat",) or settings.weights:
            raise RuleError('algorithm = "pace" is for one user\'s chat: no other key, events or weights')
        cooldown = settings.cooldown_s or seconds
        if cooldown > self.caps.window_s:
            raise RuleError(f"longer than engine.caps.window_s ({self.caps.window_s:g} s)", key="cooldown_s")
        burst = settings.burst or ceil(count)
        stream = self._stream(
            ("pace", name, settings, cooldown), "user", cooldown + MOST_WAIT_S, 1, "pairs", keyed=False
        )
        stream.often = True
        line = f"{stream.written} = paced({stream.read}, now, {burst}, {seconds / count!r}, {cooldown!r})"
        stream.updates["chat"] = Block((), (line,))
        over = Symbol(f"over({name})", Kind.BOOL, f"({stream.read}[0] > now)", windowed=True)
        self.waits[name] = Symbol(f"wait_s({name})", Kind.NUMBER, f"({stream.read}[0] - now)", windowed=True)
        self.limits[name] = Declared(name, over, stream, settings.events, seconds)

    @staticmethod
    def window_source(stream: Stream, key: str) -> str:
        """Source of the window itself that stands behind a feature of the room, or None where there is no key."""
        given, of_key = _KEYED.get(key, ("", ""))
        return f"{stream.window}.window_of({of_key}) if {given} else None" if stream.keyed else stream.window

    # --- what is used ------------------------------------------------------------------------------------------

    def find(self, used: str) -> Iterable[Declared]:
        """The declared features and limits behind a symbol name."""
        limit = limit_of(used)
        if limit is not None:
            return (self.limits[limit],)
        feature = self.declared.get(used)
        if feature is None:
            return ()
        every = self.declared.get(f"{used}\0all")
        return (feature,) if every is None else (feature, every)
