"""Gates: what keeps quiet texts and first messages from rules, and the flags that open them."""

from __future__ import annotations

import pytest

from roomguard.engine.gates import gate_of, open_flags
from roomguard.engine.steps import AGAIN, QUIET_TEXT, first_chat
from roomguard.testing import Scene, feature, program, rule

FIRST = first_chat(["said"])


@pytest.mark.parametrize(
    ("source", "thresholds", "shut"),
    [
        ("f.links >= 1", {}, True),
        ("f.links >= 0", {}, False),
        ("f.advert >= T_points", {"points": 3}, True),
        ("f.advert >= T_points", {"points": 0}, False),
        ("f.emoji + f.emotes >= 8", {}, True),
        ("f.emoji + f.emotes >= 7", {}, False),
        ("f.longest_run >= 8", {}, True),
        ("f.longest_run >= 5", {}, False),
        ("f.advert >= 1 or f.links >= 1", {}, True),
        ("f.advert >= 1 or user.chats <= 1", {}, False),
        ("f.advert >= 1 and user.chats <= 1", {}, True),
        ("f.advert >= 4 or (f.advert >= 3 and user.chats <= 1)", {}, True),
        ("f.spaced", {}, True),
        ("f.blocked != ''", {}, True),
        ("(v_links if v_links is not U else (v_links := f.links)) >= 1", {}, True),
        ("v_links >= 1", {}, True),
        ("f.emoji / 2 > 2", {}, True),
        ("f.emoji / 2 >= 2", {}, False),
    ],
)
def test_gates(source: str, thresholds: dict[str, float], shut: bool) -> None:
    """A gate is shut where no quiet text can pass, whatever else is true."""
    gate = gate_of(source, QUIET_TEXT, {"v_links": "f.links"})

    assert shut == (gate is not None and gate.is_shut(thresholds))


@pytest.mark.parametrize(
    "source", ["f.repeated == 10", "f.length >= 1", "user.chats >= 1", "not f.spaced", "9 / f.emoji >= 9"]
)
def test_what_proves_nothing(source: str) -> None:
    """Where the corners do not tell all, and of what is not known of quiet texts, there is no gate."""
    assert gate_of(source, QUIET_TEXT, {}) is None


@pytest.mark.parametrize(
    ("source", "thresholds", "shut"),
    [
        ("user.chats >= 2", {}, True),
        ("user.chats <= 3", {}, False),
        ("len(user.times) / 8 > T_flood", {"flood": 1}, True),
        ("len(user.times) / 8 > T_flood", {"flood": 0.5}, False),
        ("(len(user.times) / 8 > T_a and since(user.times, 1.0) > T_a) or user.chats > T_b", {"a": 3, "b": 2}, True),
        ("(len(user.times) / 8 > T_a and since(user.times, 1.0) > T_a) or user.chats > T_b", {"a": 3, "b": 0}, False),
        ("user.said[0] >= 2 and said_again(user, 'said', near, 1.0) >= 2", {}, True),
        ("user.said[0] >= T_copies", {"copies": 1}, False),
        ("user.other[0] >= 2", {}, False),
        ("since(user.times, 1.0) >= 2", {}, False),
    ],
)
def test_gates_for_first_messages(source: str, thresholds: dict[str, float], shut: bool) -> None:
    """A gate is shut where no user's first message can pass, whatever it says."""
    gate = gate_of(source, FIRST, {})

    assert shut == (gate is not None and gate.is_shut(thresholds))


def test_an_open_gate_raises_the_flag_of_its_premise() -> None:
    """The flag is up as soon as one gate under the premise is open."""
    gates = [gate for source in ("user.chats > T_a", "user.chats > T_b") if (gate := gate_of(source, FIRST, {}))]

    assert set() == open_flags(gates, {"a": 1, "b": 1})
    assert {AGAIN} == open_flags(gates, {"a": 1, "b": 0.5})


@pytest.mark.parametrize(("threshold", "fires"), [(2.0, False), (1.0, False), (0.5, True)])
def test_a_threshold_below_one_reaches_first_messages(threshold: float, fires: bool) -> None:
    """An override that lets a rule fire on a first message is obeyed, though the code was written for more of them."""
    often = feature("count", key="user", events=("chat",), window_s=10.0)
    scene = Scene(
        program(
            rule("often", "often > most", "warn"),
            rule("oftener", "often > more", "warn"),
            features={"often": often},
            thresholds={"most": 3.0, "more": 6.0},
        )
    )
    assert "user.chats > 1 or AGAIN" in scene.guard.strategy.source
    scene.control("override", settings={"most": threshold}, ttl_s=60.0)

    assert fires == bool(scene.chat("ann", "hi").actions)
