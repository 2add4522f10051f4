"""What an operator can set about judging, as frozen values.

`config` fills these from config.toml and checks names and ranges; `engine.program` compiles them. Durations are
seconds, rates are "COUNT/WINDOW" such as "8/10s". Everything here enters the configuration version that each action
carries; nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from roomguard.engine.text.settings import WordSettings

Mode = Literal["off", "shadow", "enforce"]
FeatureKind = Literal["count", "sum", "distinct", "ratio", "rate", "age", "gap", "regularity", "ewma", "zscore"]
FeatureKey = Literal["user", "room", "text", "near", "domain", "device", "net", "user_text", "user_near"]
LimitKey = Literal["user", "room", "device", "net"]
LimitAlgorithm = Literal["window", "gcra", "pace"]
RuleAction = Literal["delete", "warn", "mute", "kick", "hold", "delay", "restrict", "ladder"]
RestrictMode = Literal["slow", "followers", "known_users", "closed"]
Cohort = Literal["all", "new_users"]
RoomMode = Literal["calm", "elevated", "raid"]
TierAction = Literal["same", "milder", "review", "warn"]


@attrs.frozen(kw_only=True)
class CapSettings:
    """Bounds of one room's memory. What is evicted at a bound is counted, and its features start again as unknown."""

    users: int = 20_000
    """Users remembered in one room; beyond it the one unused for longest is forgotten."""
    texts: int = 4_000
    """Distinct texts (and domains, devices, nets) remembered for each such feature."""
    room_window: int = 4_096
    """Entries of a room-wide window; a count saturates there."""
    user_window: int = 256
    """Entries of one user's window where no rule compares it with a constant; a count saturates there."""
    distinct: int = 256
    """Members of a room's distinct count that are kept one by one; with more it takes 22 KB, is within 5 % up to
    20,000 and ends at 50,000. The count of a cluster, whose members are acted on, ends here."""
    causes: int = 8
    """A user's latest event ids kept, to name as causes."""
    penalties: int = 20_000
    """Penalties in force at once; beyond it the one that ends first is forgotten and counted."""
    holds: int = 1_000
    """Messages held at once; beyond it the oldest gets the fail mode at once."""
    window_s: float = 3_600.0
    """The longest window any feature may ask for."""


@attrs.frozen(kw_only=True)
class BudgetSettings:
    """Breakers: how much one room may be acted on in a minute of room time."""

    actions_per_room_minute: int = 60
    """All rules together; beyond it rules run in shadow until the minute is over, and an alert is raised."""
    actions_per_rule_minute: int = 30
    """One rule; beyond it that rule runs in shadow until the minute is over, and an alert is raised."""


@attrs.frozen(kw_only=True)
class ExemptSettings:
    """Who is never muted, kicked or deleted automatically. Hits on them are counted as exempt."""

    roles: tuple[str, ...] = ("moderator", "host")
    users: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class LadderSettings:
    """Escalation: the n-th strike takes the n-th step, the last step repeats.

    A step is "warn", "delete", "mute SECONDS", "kick" or "kick SECONDS". A user quiet for `decay_s` starts again at
    the first step.
    """

    steps: tuple[str, ...] = ("mute 5", "mute 600")
    decay_s: float = 3_600.0


@attrs.frozen(kw_only=True)
class LimitSettings:
    """A rate limit, asked for in rules as `over("NAME")`.

    `rate` is "COUNT/WINDOW". algorithm "window" is exact: more than COUNT within WINDOW, the current event included.
    "gcra" (the generic cell rate algorithm, a leaky bucket without a timer) lets `burst` events through at once and
    refills continuously at COUNT a WINDOW; what is over the limit does not fill it further. "pace", for the chat of a
    user, lets `burst` messages through at once and the next ones at COUNT a WINDOW, one by one, until a pause of more
    than `cooldown_s`: rules ask `wait_s("NAME")` how long a message has to wait, and `delay` lets it. `weights` gives
    the cost of one event of a kind; a like event costs its count times it, a gift streak costs one.
    """

    rate: str
    key: LimitKey = "user"
    algorithm: LimitAlgorithm = "window"
    burst: int = 0
    """gcra and pace only; 0 means COUNT."""
    cooldown_s: float = attrs.field(default=0.0, repr=False)  # windows are named by the rest, in snapshots too
    """pace only: a longer pause than this gives the burst back; 0 means WINDOW."""
    events: tuple[str, ...] = ("chat",)
    weights: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FeatureSettings:
    """A declared feature. See `python3 -m roomguard features` for the catalogue."""

    kind: FeatureKind
    key: FeatureKey = "user"
    events: tuple[str, ...] = ("chat",)
    window_s: float = 60.0
    where: str = ""
    """Only events for which this expression over event fields and text facts is true."""
    of: str = ""
    """sum: the number added up; distinct: what is told apart ("user", "text", "near", "domain", "device", "net");
    ratio: the expression whose share is wanted."""
    comment: str = ""


@attrs.frozen(kw_only=True)
class RuleSettings:
    """When to do what. A rule proposes; the decision de-duplicates, caps and emits."""

    name: str
    on: tuple[str, ...] = ("chat",)
    when: str
    action: tuple[RuleAction, ...] = ("delete",)
    duration_s: float = 0.0
    """For mute, kick and restrict. 0: a kick until the next join, a mute of 60 s."""
    ladder: str = "default"
    reason: str = ""
    """A reason code; empty means the rule's name."""
    mode: Mode = "shadow"
    """A rule that names no mode only counts."""
    rollout: int = 100
    """Percent of rooms where it acts; in the others it runs in shadow. Sticky by room and monotonic."""
    cluster: str = ""
    """A `distinct` feature of users: the action hits every user it counts, not only this one."""
    restrict_mode: RestrictMode = "slow"
    cohort: Cohort = "all"
    strike: bool = True
    """Whether an enforced hit counts as a strike on the user's ladder."""
    raises: Literal["", "elevated", "raid"] = ""
    """A hit steps the room's mode up at least to this one."""
    jitter_s: float = 0.0
    """Its mutes, kicks and warnings wait for up to so many seconds, each for a time that follows from its id: whoever
    tries out the limits cannot tell what gave them away. 0: at once."""
    comment: str = ""


@attrs.frozen(kw_only=True)
class StrategySettings:
    """A named profile: which thresholds and modes hold for the rooms it is assigned to."""

    thresholds: Mapping[str, float] = attrs.field(factory=dict)
    modes: Mapping[str, Mode] = attrs.field(factory=dict)
    """Rule name to mode, where it differs from the rule's own."""
    tags: tuple[str, ...] = ()
    langs: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    """A room with one of these gets this strategy; the first that fits wins, else "default"."""
    viewers_min: int = 0
    viewers_max: int = 0
    """Only rooms with so many viewers by the edge's latest count; a `viewers_max` of 0 is none."""
    hours: str = ""
    """Only at this time of day, such as "22:00-06:00+09:00": from, to, and the offset from UTC of both. With nothing
    but size or hours the strategy is for all rooms that have them; with nothing at all it is only assigned by name."""


@attrs.frozen(kw_only=True)
class TierSettings:
    """Users who are treated with more care, never with immunity. Looked at only when a rule has hit.

    The first tier whose condition holds counts. `when` may name what is known of a user without looking at this
    event's text: their age, messages and gifts in the room, role, follower, level, the age of their account.
    """

    when: str
    action: TierAction = "milder"
    """same: as the rule says; milder: a kick becomes a mute, a mute a delete, a delete a warning; review: what would
    hide a message or end a stay holds it for a human instead, or warns where there is no message; warn: only that."""
    duration_factor: float = 1.0
    """Mutes and kicks last so many times as long."""
    scale: Mapping[str, float] = attrs.field(factory=dict)
    """Threshold to the factor by which it is raised for these users; a hit that falls below it then is none."""


@attrs.frozen(kw_only=True)
class ElevatedSettings:
    """A room mode: when it begins, what it changes for the wave that caused it, how long it lasts at least."""

    hits: int = 15
    """So many different new users hit by rules within `window_s` begin this mode."""
    dwell_s: float = 60.0
    """It lasts at least so long, and so long after a rule has asked for it."""
    thresholds: Mapping[str, float] = attrs.field(factory=dict)
    """Other values of thresholds, for the wave only."""
    scale: Mapping[str, float] = attrs.field(factory=dict)
    """Threshold to the factor that tightens it, for the wave only. A strategy NAME.MODE replaces all three."""
    modes: Mapping[str, Mode] = attrs.field(factory=dict)
    """Rule name to its mode, for the wave only."""
    restrict: Literal["", "slow", "followers", "known_users", "closed"] = ""
    """A restriction that begins and ends with the mode; empty for none."""
    restrict_s: float = 600.0
    """How long that restriction lasts at most; it is lifted when the mode is over before."""
    cohort: Cohort = "new_users"
    """Whom that restriction is meant for."""


@attrs.frozen(kw_only=True)
class RaidSettings(ElevatedSettings):
    """The upper mode."""

    hits: int = 30
    dwell_s: float = 120.0


@attrs.frozen(kw_only=True)
class ModesSettings:
    """Room modes: calm, elevated, raid. A room steps up when rules hit many new users, and down again by itself."""

    elevated: ElevatedSettings = attrs.field(factory=ElevatedSettings)
    raid: RaidSettings = attrs.field(factory=RaidSettings)
    window_s: float = 60.0
    """Hits are counted over this time; whoever came this long before a wave was noticed is of the wave."""
    new_s: float = 300.0
    """A user is new for this long after they were first seen in the room."""
    new_share: float = 0.75
    """The least share of new users among all users hit: what regulars do is no raid."""
    settle_s: float = 120.0
    """In a room's first time everybody is new, so hits step no mode up; a rule that asks for a mode still does."""
    leave_share: float = 0.5
    """A mode holds until fewer than this share of its `hits` are left in the window."""
    handover_s: float = 120.0
    """After another host has taken over a room a wave is expected for so long."""


@attrs.frozen(kw_only=True)
class HypeSettings:
    """The room's own allowance: what raises limits when the crowd is excited. Looked at only when a rule has hit."""

    when: str = ""
    """A condition over any feature of chat, of the user too; empty for never."""
    scale: Mapping[str, float] = attrs.field(factory=dict)
    """Threshold to the factor by which it is raised then; a hit that falls below it is none."""


@attrs.frozen(kw_only=True)
class EngineSettings:
    """All that decides what happens in a room."""

    mode: Literal["shadow", "enforce"] = "enforce"
    """shadow: everything is decided and counted, nothing is sent."""
    force_strategy: str = ""
    """Judge every room by this strategy, whatever it is assigned."""
    kick_s: float = 60.0
    """A kick without an end holds at most this long."""
    mute_s: float = 60.0
    """A mute whose rule names no duration."""
    hold_s: float = 30.0
    """A held message gets the fail mode after this."""
    hold_fail: Literal["release", "delete"] = "release"
    """What becomes of a held message nobody decided."""
    notice_s: float = 0.0
    """One action of a room in so many seconds is marked `public`: fit for a notice to all. 0: none is."""
    caps: CapSettings = attrs.field(factory=CapSettings)
    budget: BudgetSettings = attrs.field(factory=BudgetSettings)
    exempt: ExemptSettings = attrs.field(factory=ExemptSettings)
    ladders: Mapping[str, LadderSettings] = attrs.field(factory=lambda: {"default": LadderSettings()})
    limits: Mapping[str, LimitSettings] = attrs.field(factory=dict)
    thresholds: Mapping[str, float] = attrs.field(factory=dict)
    words: WordSettings = attrs.field(factory=WordSettings)
    features: Mapping[str, FeatureSettings] = attrs.field(factory=dict)
    rules: tuple[RuleSettings, ...] = ()
    strategies: Mapping[str, StrategySettings] = attrs.field(factory=dict)
    tiers: Mapping[str, TierSettings] = attrs.field(factory=dict)
    modes: ModesSettings = attrs.field(factory=ModesSettings)
    hype: HypeSettings = attrs.field(factory=HypeSettings)
    reasons: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    """Reason code to language to text, where the operator wants other words."""
