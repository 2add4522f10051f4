"""Quiet texts, and that no rule behind a gate is for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from roomguard.configure import configure
from roomguard.engine.room import RoomGuard
from roomguard.engine.text.analyser import Analyser
from roomguard.engine.text.facts import QUIET, Facts
from roomguard.engine.text.settings import WordSettings

CONFIG = Path(__file__).parents[3] / "config.toml"
PIECES = [
    "gg", "hello", "the", "привет", "哈哈", "今天", "follow me", "free", "example.com", "dot com", "@ann", "#tag", "$5",
    "12345", "!!!", "...", "(", "/", "🔥", "👉", "\u200b", "e\u0301", "ｆｒｅｅ", "𝓯𝓻𝓮𝓮", "а", "a", "b", ":smile:",
    "AAAA", "loooool", "bad word", "h3ll0", "wаllet",
]  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    """Whatever people and machines write, and what nobody does."""
    made = st.lists(st.sampled_from(PIECES), max_size=12)
    return st.one_of(made.map(" ".join), made.map("".join), st.text(max_size=60))


ANALYSER = Analyser(WordSettings(block=("bad word",)))


PROGRAM = configure(CONFIG).program


def within(facts: Facts) -> list[str]:
    """The facts that QUIET does not allow."""
    values = {name: getattr(facts, name) for name in QUIET}
    return [
        name
        for name, allowed in QUIET.items()
        if (values[name] != allowed[0] if len(allowed) == 1 else not allowed[0] <= values[name] <= allowed[1])  # type: ignore[operator]
    ]


@given(texts(), st.lists(st.sampled_from(["Kappa", "PogChamp"]), max_size=5))
def test_a_quiet_text_is_one(text: str, emotes: list[str]) -> None:
    """What may be true of a quiet text is what QUIET says."""
    facts = ANALYSER.judge(text, emotes)

    assert facts._loud or [] == within(facts)


class _Thorough(Analyser):
    """One that never says early that a text is quiet."""

    def _says_nothing(self, *_: object) -> bool:
        return False


THOROUGH = _Thorough(WordSettings(block=("bad word",)))


@given(
    st.one_of(
        texts(),
        st.text(st.sampled_from("aabbAAÀàéßſµжαΩ가ㄱㅏ今い'`’ \u00a0"), max_size=40),
        st.text(st.sampled_from("hé今  🔥❤\ufe0f👍🏽👉\u200d"), max_size=20),
        st.builds(
            str.__add__,
            st.text(st.sampled_from("hé今 "), max_size=9),
            st.text(st.sampled_from(" 🔥❤\ufe0f"), max_size=9),
        ),
        st.text(st.sampled_from("аАбі "), max_size=40),
        st.text(st.sampled_from("กนำ\u0e35\u0e49\u0e48เๆา🔥 "), max_size=40),
        st.lists(
            st.sampled_from(["one", "Two", "drei", "ß" * 2, " ", "été", "it's", "сто", "今天", "น้ำ", "ที่"]),
            min_size=20,
            max_size=140,
        ).map(" ".join),
        st.text(st.sampled_from("àé今 "), max_size=40),
    ),
    st.lists(st.sampled_from(["Kappa"]), max_size=1),
)
def test_saying_it_early_changes_nothing(text: str, emotes: list[str]) -> None:
    """The facts of a text that is called quiet at first sight are those of a closer look."""
    facts, closer = ANALYSER.judge(text, emotes), THOROUGH.judge(text, emotes)

    assert (closer._loud, closer._trace, closer) == (facts._loud, facts._trace, facts)
    assert closer.model_text() == facts.model_text()


@given(st.one_of(texts(), st.text(st.sampled_from("!?.\n\r\t\u2028ab🔥 "), max_size=30)))
def test_a_trace_is_one_line(text: str) -> None:
    """Whatever a text is, what it leaves for later comparison has no line break in it, and is empty or no blank."""
    facts = ANALYSER.judge(text)
    trace = facts._trace or facts.leave_trace()

    assert "\n" not in trace
    assert not trace or trace.strip()


@pytest.mark.parametrize(
    "text",
    [
        "see example.com", "f r e e c o i n s", "call 555 123 4567 8", "soooooooooooo", "bad word", "follow me please",
        "🔥🔥🔥🔥🔥🔥", "@a1 @b2 @c3", "the same the same the same the same the same", "wаllet", "👉 name", "x" * 600,
    ],
)  # fmt: skip
def test_a_loud_text_is_no_quiet_one(text: str) -> None:
    """Whatever rules look for makes a text loud."""
    assert ANALYSER.judge(text)._loud


@pytest.mark.parametrize(
    "text", ["gg", "hello there, how are you?", "привет всем", "今天晚上吃什么", "nooo!!", "@ann hi", "วันนี้เล่นดีมาก 555"]
)
def test_an_ordinary_text_is_quiet(text: str) -> None:
    """What people write is."""
    assert not ANALYSER.judge(text)._loud


@given(texts())
def test_no_quiet_text_passes_a_gate(text: str) -> None:
    """A rule behind a gate fires for no quiet text, under any shipped strategy."""
    judged = PROGRAM
    facts = judged.analyser.judge(text)
    if facts._loud:
        return
    event = SimpleNamespace(text=text, who=None, user="ann", id="1")
    user = judged.people.user_class(0.0, 0.0)
    user.chats = 1
    guard = RoomGuard("r", judged)
    for strategy in judged.strategies.values():
        for rule in strategy.rules:
            probe = rule.probes.get("chat")
            if probe is not None and rule.name in ("advert", "newcomer_link", "invite", "blocked_word", "unreadable"):
                assert not probe(guard, guard.slots, user, "ann", event, facts, 0, 1.0)[0], rule.name
