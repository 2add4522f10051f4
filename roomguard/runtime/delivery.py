"""From the bus to whoever is connected: which connection has which room, and what waits for it.

Only durable actions come here. What waits for one connection is bounded; one that falls behind gets nothing more, is
counted, and must be cut: it comes back and takes its rooms again, or resumes by offset.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import attrs
import trio

from roomguard.runtime.resender import Resender, Sent
from roomguard.store.settings import BusSettings


@attrs.frozen
class DeliveryStatistics:
    """Actions on their way to connections."""

    subscriptions: int
    rooms: int
    delivered: int
    """First deliveries, one a connection."""
    behind: int
    """Connections that fell too far behind and were given up."""
    repeating: int
    resent: int
    enforced: int
    unenforced: int
    """Actions that ran out or were repeated as often as allowed without being enforced."""
    repeats_overflowed: int


class Subscription:
    """What one connection gets. Made by `Delivery.subscribe` or `Delivery.tail`; `close` it when the connection ends.

    `wake` is called, from the bus's task, whenever something starts to wait and when the subscription falls behind.
    """

    def __init__(self, delivery: Delivery, wake: Callable[[], None] | None, *, repeats: bool) -> None:
        self._delivery = delivery
        self._wake = wake
        self._arrival: trio.Event | None = None
        self._waiting: list[Sent] = []
        self._bytes = 0
        self.rooms: dict[str, None] = {}
        self.repeats = repeats
        self.behind = False
        """It missed something: cut the connection."""
        self.closed = False

    def add_room(self, room: str) -> None:
        """Get the room's actions from now on, after those that nobody enforced before it was taken."""
        self._delivery.add_room(self, room)

    def remove_room(self, room: str) -> None:
        """Get the room's actions no more."""
        self._delivery.remove_room(self, room)

    def enforced(self, ids: Collection[str]) -> list[Sent]:
        """The edge enforced these; returns those nobody had called enforced before, to be told to their rooms."""
        return self._delivery.enforced(self, ids)

    def take(self) -> list[bytes]:
        """The JSON of everything that waits, in order; empty if nothing does."""
        return [sent.data for sent in self.take_sent()]

    def take_sent(self) -> list[Sent]:
        """The same with offsets and ids."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return waiting

    async def wait(self) -> None:
        """Until something waits, or the subscription is behind or closed. One task at a time."""
        if self._waiting or self.behind or self.closed:
            await trio.lowlevel.checkpoint()
            return
        self._arrival = trio.Event()
        await self._arrival.wait()

    def close(self) -> None:
        """Get nothing more. What was not enforced waits for whoever takes the rooms next. Safe to repeat."""
        self._delivery.close(self)
        self._wake = None  # its owner's, who holds us: between the two of them neither would ever be let go of

    def put(self, sent: Sent) -> None:
        """Called by `Delivery`: one more waits, or the subscription falls behind."""
        if self.behind:
            return
        settings = self._delivery.settings
        if len(self._waiting) >= settings.subscriber_actions or self._bytes > settings.subscriber_bytes:
            self.behind = True
            self._delivery.fell_behind += 1
            self.take_sent()
        else:
            self._waiting.append(sent)
            self._bytes += len(sent.data)
            if len(self._waiting) > 1:
                return
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits for this subscription."""
        if self._wake is not None:
            self._wake()
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None


class Delivery:
    """Hands durable actions to subscriptions, and again until they are enforced."""

    def __init__(self, settings: BusSettings) -> None:
        self.settings = settings
        self.fell_behind = 0
        self._delivered = 0
        self._subscriptions = 0
        # A tuple a room: nearly all have one subscription, and a dict of it would be 180 bytes larger.
        self._rooms: dict[str, tuple[Subscription, ...]] = {}
        self._everything: dict[Subscription, None] = {}
        self._resender: Resender[Subscription] = Resender(
            settings.resend_every_s, settings.resend_times, settings.resend_actions
        )
        self._to_repeat = trio.Event()

    def subscribe(self, rooms: Iterable[str] = (), wake: Callable[[], None] | None = None) -> Subscription:
        """A subscription of an edge connection: repeats until enforced."""
        subscription = Subscription(self, wake, repeats=True)
        self._subscriptions += 1
        for room in rooms:
            self.add_room(subscription, room)
        return subscription

    def tail(self, rooms: Collection[str] | None = None) -> Subscription:
        """A subscription of a consumer: each new action once, of all rooms or some."""
        subscription = Subscription(self, None, repeats=False)
        self._subscriptions += 1
        if rooms is None:
            self._everything[subscription] = None
        for room in rooms or ():
            self.add_room(subscription, room)
        return subscription

    def deliver(self, sent: Sent, now: float) -> None:
        """Hand out an action for the first time, in offset order."""
        subscriptions = self._rooms.get(sent.room, ())
        for subscription in subscriptions:
            subscription.put(sent)
        for subscription in self._everything:
            subscription.put(sent)
        self._delivered += len(subscriptions) + len(self._everything)
        self.hold(sent, now, [one for one in subscriptions if one.repeats])

    def hold(self, sent: Sent, now: float, receivers: Collection[Subscription] = ()) -> None:
        """Repeat it to `receivers` until enforced; to nobody: keep it for whoever takes its room next."""
        self._resender.sent(sent, receivers, now)
        self._to_repeat.set()

    async def repeat(self) -> None:
        """Send again what was not enforced, for ever."""
        while True:
            due = self._resender.next_due()
            if due is None:
                self._to_repeat = trio.Event()
                await self._to_repeat.wait()
                continue
            await trio.sleep_until(due)
            for subscription, sent in self._resender.due(trio.current_time(), limit=500):
                subscription.put(sent)

    def add_room(self, subscription: Subscription, room: str) -> None:
        """See `Subscription.add_room`."""
        if room in subscription.rooms or subscription.closed:
            return
        subscription.rooms[room] = None
        self._rooms[room] = (*self._rooms.get(room, ()), subscription)
        if subscription.repeats and self._resender.orphaned(room):
            for sent in self._resender.took(subscription, room, trio.current_time()):
                subscription.put(sent)

    def remove_room(self, subscription: Subscription, room: str) -> None:
        """See `Subscription.remove_room`."""
        if room not in subscription.rooms:
            return
        self._let_go(subscription, room)
        del subscription.rooms[room]
        self._resender.left(subscription, room)

    def enforced(self, subscription: Subscription, ids: Collection[str]) -> list[Sent]:
        """See `Subscription.enforced`."""
        return self._resender.enforced(subscription, ids)

    def close(self, subscription: Subscription) -> None:
        """See `Subscription.close`."""
        if subscription.closed:
            return
        subscription.closed = True
        self._subscriptions -= 1
        self._everything.pop(subscription, None)
        rooms = tuple(subscription.rooms)
        for room in rooms:
            self._let_go(subscription, room)
        subscription.rooms.clear()
        self._resender.left(subscription)
        self._pass_on(rooms)
        subscription.take_sent()
        subscription.notify()

    def statistics(self) -> DeliveryStatistics:
        """How it stands."""
        return DeliveryStatistics(
            subscriptions=self._subscriptions,
            rooms=len(self._rooms),
            delivered=self._delivered,
            behind=self.fell_behind,
            repeating=len(self._resender),
            resent=self._resender.resent,
            enforced=self._resender.enforced_first,
            unenforced=self._resender.unenforced,
            repeats_overflowed=self._resender.overflowed,
        )

    def _pass_on(self, rooms: Iterable[str]) -> None:
        """What one left unenforced goes to the newest other who has the room.

        An edge that came back before its old connection was known to be dead took its rooms before there was anything
        to take.
        """
        for room in rooms:
            heirs = [one for one in self._rooms.get(room, ()) if one.repeats]
            if heirs:
                for sent in self._resender.took(heirs[-1], room, trio.current_time()):
                    heirs[-1].put(sent)

    def _let_go(self, subscription: Subscription, room: str) -> None:
        others = tuple([one for one in self._rooms[room] if one is not subscription])
        if others:
            self._rooms[room] = others
        else:
            del self._rooms[room]
