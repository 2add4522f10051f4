"""Two replays side by side."""

from __future__ import annotations

import io

import pytest

from roomguard.errors import RecordingError
from roomguard.replay import Player
from roomguard.replay.comparing import Comparison, RuleComparison, compare, read_actions
from roomguard.testing import chat, feature, program, rule


def replayed(most: float, duration_s: float = 60.0) -> bytes:
    """What a room of two users gets under a threshold."""
    compiled = program(
        rule("many", "chats > most", "mute", duration_s=duration_s), rule("long", "length > 20", "delete"),
        features={"chats": feature("count", 10.0)}, thresholds={"most": most},
    )  # fmt: skip
    events = [chat(f"u{number % 2}", f"m{number}", at=number / 4, id=f"e{number}") for number in range(12)]
    events.append(chat("u9", "x" * 30, at=9, id="long"))
    out = io.BytesIO()
    Player(compiled, out).play(events)
    return out.getvalue()


def compared(before: bytes, after: bytes) -> Comparison:
    return compare(
        read_actions(before.splitlines(keepends=True), "a"), read_actions(after.splitlines(keepends=True), "b")
    )


def test_the_same_replay_differs_in_nothing() -> None:
    """What both have alike is counted and no more, whatever configuration each names."""
    before, after = replayed(3), replayed(3).replace(b'"config":"', b'"config":"x')
    comparison = compared(before, after)

    assert (3, 3, 3) == (comparison.before, comparison.after, comparison.same)
    assert ((), (), ()) == (comparison.gone, comparison.new, comparison.otherwise)


def test_another_threshold() -> None:
    """A threshold that trips earlier has other causes, so other actions; what it does not touch stays."""
    comparison = compared(replayed(5), replayed(3))

    assert (["e10", "e11"], ["e6", "e7"]) == (
        [action["causes"][0] for action in comparison.gone],
        [action["causes"][0] for action in comparison.new],
    )
    assert (RuleComparison("long", 1, 1, 0, 0, 0), RuleComparison("many", 2, 2, 2, 2, 0)) == comparison.rules
    assert comparison.same == 1


def test_another_duration() -> None:
    """The same decision that lasts otherwise is neither gone nor new."""
    comparison = compared(replayed(3), replayed(3, duration_s=90.0))

    assert ((), (), 2) == (comparison.gone, comparison.new, len(comparison.otherwise))
    assert [(60.0, 90.0)] * 2 == [(one["duration_s"], two["duration_s"]) for one, two in comparison.otherwise]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"id": "m1", "kind": "chat", "room": "r"}', b"\xff"])
def test_what_is_no_action_is_named(line: bytes) -> None:
    """A recording in the place of actions, or anything else, is told with its line."""
    with pytest.raises(RecordingError, match=r"^a:3: "):
        read_actions([*replayed(3).splitlines(keepends=True)[:1], b"\n", line], "a")
