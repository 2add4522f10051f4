"""One user of one room, as small as can be: a million of them are kept, and each is cold when they speak again.

What every message needs stands in the record itself, packed: ids in one text, times in one string of doubles. That is
one object where a tuple of them is one for each and one more, it costs the processor as many misses less, and the
garbage collector has nothing to look at. What few users need (gifts, walls of emoji, reports against them) is a second
record, made when it is first written to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from struct import Struct
from typing import Any, ClassVar

import attrs
import msgspec

from roomguard.engine import traces, windows

CHATS = "times"
"""The field with the times of all of a user's chats, whether or not a feature counts them."""
_BUILT_IN: tuple[tuple[str, Any], ...] = (("gifted", 0.0), ("streaks", ()), ("deleted", ""))
"""Of the second record, whatever the features."""
CLASSES = 64
"""Classes of users, and of rooms' windows, that are kept for the next program that needs the same: a class that went
would be a cycle of some kilobytes, and most reloads change numbers alone."""
_unpack_from = Struct("d").unpack_from
EMPTY: Mapping[str, Any] = {"times": b"", "traces": traces.NO_TRACES, "pairs": (), "number": 0.0, "moment": None}
"""What a field of each shape holds before anything happened."""


class Person(msgspec.Struct, gc=False, eq=False):
    """The base of a program's users; the program adds its own fields. Nothing here can form a cycle."""

    first: float
    """When the user was first seen."""
    last: float
    """Their last use but chats; see `used`."""
    chats: int = 0
    ids: str = ""
    """The ids of the latest chats, each with a line break behind it, which no id has in it."""
    times: bytes = b""
    more: Any = None

    causes: ClassVar[int] = 8
    """How many of `ids` count. Fewer than twice as many are kept, so that few messages have to cut."""
    rare_class: ClassVar[type[Any]]
    nothing: ClassVar[Any]
    """An empty second record, shared, to be read where there is none."""

    def rare(self) -> Any:
        """The second record, to be written to."""
        if self.more is None:
            self.more = self.rare_class()
        return self.more

    def used(self) -> float:
        """When the user was last heard of by an event of their own."""
        times, last = self.times, self.last
        if times:
            latest: float = _unpack_from(times, len(times) - windows.SIZE)[0]  # as `windows.latest`
            if latest > last:
                return latest
        return last

    @property
    def recent(self) -> tuple[str, ...]:
        """The ids of the latest chats, at most `causes`, oldest first."""
        return tuple(self.ids.split("\n")[-1 - self.causes : -1])

    @property
    def gifted(self) -> float:
        """The value of the user's gifts."""
        value: float = (self.more or self.nothing).gifted
        return value

    @property
    def streaks(self) -> tuple[Any, ...]:
        """Gift streaks under way: (id, total, id, total, ...)."""
        value: tuple[Any, ...] = (self.more or self.nothing).streaks
        return value

    @property
    def deleted(self) -> str:
        """The id of the message of theirs that was deleted last."""
        value: str = (self.more or self.nothing).deleted
        return value

    @deleted.setter
    def deleted(self, value: str) -> None:
        self.rare().deleted = value


@functools.lru_cache(maxsize=CLASSES)
def _user_class(fields: tuple[Field, ...], causes: int) -> type[Any]:
    """The class of users with these fields."""
    often: list[Any] = [(field.name, object, EMPTY[field.shape]) for field in fields if field.often]
    rare_class = _rare_class(tuple(field for field in fields if not field.often))
    namespace = {"rare_class": rare_class, "nothing": rare_class(), "causes": causes}
    return msgspec.defstruct("User", often, bases=(Person,), namespace=namespace, gc=False, eq=False)


@functools.lru_cache(maxsize=CLASSES)
def _rare_class(fields: tuple[Field, ...]) -> type[Any]:
    """The class of second records with these fields."""
    rare = [(name, object, value) for name, value in _BUILT_IN]
    rare += [(field.name, object, EMPTY[field.shape]) for field in fields]
    return msgspec.defstruct("Rare", rare, gc=False, eq=False)


def latest_ids(ids: str, count: int) -> str:
    """`ids` without all but the latest `count`."""
    surplus = ids.count("\n") - count
    return ids if surplus <= 0 else ids.split("\n", surplus)[surplus]


@attrs.frozen
class Field:
    """A window of every user. `name` is that of its stream, by which snapshots know it."""

    name: str
    shape: str
    often: bool
    """In the record itself, not in the second one."""

    @property
    def place(self) -> str:
        """Source of what a user has there."""
        return f"user.{self.name}" if self.often else f"(user.more or user.nothing).{self.name}"


@attrs.frozen
class People:
    """How a program keeps users, and how they become plain data: a row of a snapshot has the fields of `names`."""

    fields: tuple[Field, ...]
    chats: str
    """The stream that `Person.times` stands for; empty where no feature counts all chats."""
    horizon: float = attrs.field(eq=False)
    """How far back the times of chats are asked for."""
    cap: int = attrs.field(eq=False)
    """How many of them."""
    causes: int
    user_class: type[Any] = attrs.field(init=False, eq=False)
    names: tuple[str, ...] = attrs.field(init=False, eq=False)
    bare: int = attrs.field(init=False, eq=False)
    """With fewer bytes of times than this nothing is looked through."""

    def __attrs_post_init__(self) -> None:
        """Make the classes."""
        object.__setattr__(self, "user_class", _user_class(self.fields, self.causes))
        streams = sorted([*(field.name for field in self.fields), *([self.chats] if self.chats else [])])
        names = ("first", "last", "chats", "gifted", "recent", "streaks", "deleted", *streams)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "bare", windows.SIZE * min(self.cap, windows.LET_BE))

    def row(self, user: Any) -> list[Any]:
        """What `names` stand for, of one user."""
        more = user.more or user.nothing
        values = {
            field.name: _plain(field.shape, getattr(user if field.often else more, field.name)) for field in self.fields
        }
        if self.chats:
            values[self.chats] = _plain("times", user.times)
        built_in = (user.first, user.used(), user.chats, more.gifted, user.recent, more.streaks, more.deleted)
        return [*built_in, *(values[name] for name in self.names[len(built_in) :])]

    def user(self, names: Iterable[str], row: Iterable[Any]) -> Any:
        """The user of a row, of this or another program; what is not kept here is dropped.

        Raises TypeError, ValueError or LookupError for what is no row.
        """
        values = dict(zip(names, row, strict=True))
        user = self.user_class(values["first"], values["last"], values["chats"])
        user.ids = latest_ids("".join(f"{id_}\n" for id_ in values["recent"]), self.causes)
        if self.chats in values:
            user.times = _packed("times", values[self.chats])
            self._spare(user)
        for name, usual in _BUILT_IN:
            self._put(user, name, _as_tuple(values[name]), usual)
        for field in self.fields:
            if field.name in values:
                value, usual = _packed(field.shape, values[field.name]), EMPTY[field.shape]
                if field.often:
                    setattr(user, field.name, value)
                else:
                    self._put(user, field.name, value, usual)
        return user

    def carrier(self, before: People) -> Callable[[Any], Any]:
        """A function that gives for a user of another program what `self.user(before.names, before.row(user))` does.

        For 20,000 users it takes some 9 ms, where rows take 255. Its source is made here, an argument of the class for
        each of its fields: a loop over them takes twice as long, and a reload does it for every user there is.
        """
        places = {field.name: field.place for field in before.fields}
        if before.chats:
            places[before.chats] = "user.times"
        namespace: dict[str, Any] = {"User": self.user_class, "latest_ids": latest_ids}
        arguments = {"first": "user.first", "last": "user.used()", "chats": "user.chats", "ids": "user.ids"}
        if before.causes != self.causes:
            arguments["ids"] = f"latest_ids(user.ids, {min(before.causes, self.causes)})"
        if self.chats and self.chats == before.chats:
            arguments["last"] = "user.last"
        arguments["times"] = places.get(self.chats, "b''") if self.chats else "b''"
        if self.user_class.rare_class is before.user_class.rare_class:
            arguments["more"] = "user.more"
        else:
            stays = all(field.often or not places.get(field.name, "").startswith("user.") for field in self.fields)
            arguments["more"] = "user.more and more(user)" if stays else "more(user)"
            namespace["more"] = self._more_of(places)
        for field in self.fields:
            if field.often:
                arguments[field.name] = places.get(field.name, f"usual_{field.shape}")
                namespace[f"usual_{field.shape}"] = EMPTY[field.shape]
        source = ", ".join(arguments[name] for name in self.user_class.__struct_fields__)
        carried: Callable[[Any], Any] = eval(f"lambda user: User({source})", namespace)  # noqa: S307 - names of fields
        return carried

    def _more_of(self, places: Mapping[str, str]) -> Callable[[Any], Any]:
        """A function that gives the second record for a user who has what is kept at these places."""
        rare = [(name, usual, attrgetter(name)) for name, usual in _BUILT_IN]
        for field in self.fields:
            if not field.often and field.name in places:
                get = eval(f"lambda user: {places[field.name]}")  # noqa: S307 - the name of a field
                rare.append((field.name, EMPTY[field.shape], get))
        rare_class = self.user_class.rare_class

        def more(user: Any) -> Any:
            kept = {name: value for name, usual, get in rare if (value := get(user)) != usual}
            return rare_class(**kept) if kept else None

        return more

    @staticmethod
    def _spare(user: Any) -> None:
        """Keep no time of last use of its own where that of a chat says the same."""
        if user.times and windows.latest(user.times) >= user.last:
            user.last = user.first  # the same object: nothing more to keep

    @staticmethod
    def _put(user: Any, name: str, value: Any, usual: Any) -> None:
        """Into the second record, which is not made for nothing."""
        if value != usual:
            setattr(user.rare(), name, value)


def _plain(shape: str, value: Any) -> Any:
    """A field as plain data."""
    if shape == "times":
        return windows.unpacked(value)
    return traces.unpacked(value) if shape == "traces" else value


def _packed(shape: str, value: Any) -> Any:
    """A field of plain data."""
    if shape == "times":
        return windows.packed(value)
    return traces.packed(value) if shape == "traces" else _as_tuple(value)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
