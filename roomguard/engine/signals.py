"""The one list of what the guard looks for, each with when it is legitimate.

A signal is a behaviour, named as people name it. Rules of config.toml look for it by features; a test holds this list
to the shipped configuration: every signal has a rule, every rule belongs to a signal.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Signal:
    """One behaviour. `rules` are those of the shipped configuration, `features` what they read first."""

    name: str
    rules: tuple[str, ...]
    features: tuple[str, ...]
    legitimate: str
    """When people do the same and mean no harm, and what spares them."""


SIGNALS: tuple[Signal, ...] = (
    Signal(
        "flood", ("flood",), ("user_10s", "user_30s", "known_10s"),
        "In a room's best moments regulars write twice as much: hype raises the limit for those who were there before.",
    ),
    Signal(
        "duplicates of one user", ("copy", "copies", "slow_copies"), ("user_near", "user_near_600s"),
        "A question asked again because nobody answered; cheering that everybody joins in, which `near_users` spares.",
    ),
    Signal(
        "one message by many accounts", ("copy_raid",), ("near_newcomers", "near_users"),
        "Copypasta is a game of regulars: it counts only from accounts that had not spoken, and beside an advert.",
    ),
    Signal(
        "a wall that repeats itself", ("wall", "emote_wall", "long_text"),
        ("repeated", "repeat_share", "length", "room_walls", "room_longs"),
        "Rooms with a custom of walls: thresholds grow with what the room itself writes.",
    ),
    Signal(
        "links", ("newcomer_link", "fresh_account_advert", "invite"), ("links", "invites", "hidden_links"),
        "Regulars link to what is talked about: only a user's first messages are looked at.",
    ),
    Signal(
        "adverts without a link", ("advert", "begging", "contact"), ("advert", "begging", "contacts"),
        "Talk about money and channels has such words too: it takes points, and more of them from regulars.",
    ),
    Signal(
        "disguise", ("disguised", "hidden_text", "unreadable"),
        ("fancy", "mixed_words", "spaced", "invisible", "combining"),
        "Ornate letters are a fashion and some scripts stack marks: disguise counts in what advertises, or in excess.",
    ),
    Signal(
        "mention flood", ("mentions",), ("mentions",),
        "Greeting friends by name; regulars of the room are left alone.",
    ),
    Signal(
        "walls of pictures", ("pictures", "drawing"), ("emoji", "emotes", "art", "room_pictures", "room_art"),
        "Emote walls are how some rooms cheer: thresholds grow with what the room itself sends.",
    ),
    Signal(
        "held-down keys", ("stretched",), ("longest_run", "user_stretch_chars", "laughter"),
        "Laughter and applause in any script (666, wwww and their like) are told apart and never count.",
    ),
    Signal(
        "capitals", ("shouting",), ("caps_ratio", "letters"),
        "Shouting is cheering: it is only counted, and names of emotes are no capitals.",
    ),
    Signal(
        "blocked words", ("blocked_word",), ("blocked", "matched", "blocked_domain"),
        "Only what the operator has listed; phrases on the allow list spare the words inside them.",
    ),
    Signal(
        "join and leave churn", ("join_churn",), ('over("join_churn")',),
        "A bad connection comes and goes too, but not a dozen times a minute.",
    ),
    Signal(
        "follow churn", ("follow_churn",), ('over("follow_churn")',),
        "A finger that slips follows twice; setting off the alert takes more.",
    ),
    Signal(
        "join wave", ("join_wave",), ("joins_15s", "wave_new_share", "raid_expected"),
        "Friends who raid are known accounts, and hosts announce them: both pass.",
    ),
    Signal(
        "gift abuse", ("gift_abuse",), ('over("gifts")',),
        "Generosity in small coins. A streak is one gift, and what is counted here is only counted.",
    ),
    Signal(
        "like abuse", ("like_abuse",), ('over("likes")',),
        "Fast fingers tap ten times a second; only what no hand can do is counted.",
    ),
    Signal(
        "bot-like timing", ("bot_timing",), ("user_rhythm", "user_300s"),
        "Moderators' own announcement bots keep time: give them a role or exempt them.",
    ),
    Signal(
        "many accounts behind one device or net", ("one_device", "one_net"), ("device_users", "net_users"),
        "Families share a device, schools and mobile carriers a network: a network counts only where all say the same.",
    ),
    Signal(
        "reports", ("reported",), ("reporters_600s",),
        "Reports can be organised against somebody: they are counted, and a human decides.",
    ),
    Signal(
        "canary", ("canary",), ("text",),
        "Always: it is a test by the operator, answered by a harmless warning.",
    ),
)  # fmt: skip
"""Every signal of the shipped configuration."""
