"""The learned model as a feature of rules: what it is asked, what it says, and that the page about it is true."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import click
import pytest

from roomguard.cli import main
from roomguard.configure import configure
from roomguard.engine.program import compile_program
from roomguard.engine.room import RoomGuard
from roomguard.engine.text.model import TextModel, to_bytes
from roomguard.errors import ConfigError
from roomguard.learning.measuring import learn
from roomguard.learning.samples import Sample
from roomguard.model.actions import Action
from roomguard.model.events import Chat
from tests.learning.chatter import chatter
from tests.test_docs import DOCS, blocks

START = 1767225600.0
RULE = """
[[rules]]
name = "learned"
when = "user_chats <= 2 and length >= 5 and text_spam >= 0.5"
action = ["delete"]
mode = "enforce"
"""
ADVERT = "get half price followers at gemdrop.test"
TALK = "the race looked great today"


@pytest.fixture(scope="module")
def model() -> TextModel:
    """A model of made-up chat."""
    texts = chatter(500, 20)
    return learn([Sample(text, text.lower(), text.lower(), spam, "", "f") for text, spam in texts], "text").model


@attrs.frozen
class CountedModel(TextModel):
    """A model that keeps what it was asked."""

    asked: list[str] = attrs.field(factory=list, eq=False)

    def score(self, low: str, part: str) -> float:
        self.asked.append(low)
        return super().score(low, part)


def actions_of(guard: RoomGuard, user: str, texts: list[str]) -> list[Action]:
    """What a user's messages cause, one a minute."""
    found: list[Action] = []
    for number, text in enumerate(texts):
        now = START + 60 * number
        chat = Chat(id=f"{user}-{number}", room="r", user=user, ts=now, text=text)
        found += guard.receive(chat, now).actions
    return found


def test_spam_is_told_with_its_parts(tmp_path: Path, model: TextModel) -> None:
    """A hit carries the probability and pieces of the text; ordinary talk is let through."""
    (tmp_path / "m").write_bytes(to_bytes(model))
    (tmp_path / "config.toml").write_text(f'[words]\nmodel_file = "{tmp_path / "m"}"\n{RULE}', encoding="utf-8")
    guard = RoomGuard("r", configure(tmp_path / "config.toml").program)

    (action,) = actions_of(guard, "ben", [TALK, ADVERT])

    evidence = dict(action.evidence)
    assert (action.rule, action.causes[0]) == ("learned", "ben-1")
    assert isinstance(evidence["text_spam"], float)
    assert 0.5 <= evidence["text_spam"] <= 1
    named = str(evidence["text_spam_grams"]).split(", ")
    assert named
    assert all(part in f" {ADVERT} " for part in named)


def test_without_a_model_the_rule_is_silent(tmp_path: Path) -> None:
    """No model file: text_spam is unknown, and a rule that needs it does not fire."""
    (tmp_path / "config.toml").write_text(RULE, encoding="utf-8")

    assert actions_of(RoomGuard("r", configure(tmp_path / "config.toml").program), "ben", [ADVERT]) == []


def test_it_is_asked_only_where_cheap_signals_ask(tmp_path: Path, model: TextModel) -> None:
    """The model reads nothing that the conditions before it rule out, and nothing twice."""
    (tmp_path / "config.toml").write_text(RULE, encoding="utf-8")
    engine = configure(tmp_path / "config.toml").program.settings
    counted = CountedModel(**attrs.asdict(model, recurse=False))
    guard = RoomGuard("r", compile_program(engine, counted))

    actions_of(guard, "ben", ["gg", TALK, ADVERT, ADVERT])

    assert counted.asked == [TALK]  # the first is short, and from the third on Ben is no newcomer


def test_a_damaged_model_is_an_error_of_the_configuration(tmp_path: Path, model: TextModel) -> None:
    """What is no whole model is refused at its line, before anything is judged."""
    (tmp_path / "m").write_bytes(to_bytes(model)[:-7])
    (tmp_path / "config.toml").write_text(f'[words]\nmodel_file = "{tmp_path / "m"}"\n{RULE}', encoding="utf-8")

    with pytest.raises(ConfigError, match="checksum") as raised:
        configure(tmp_path / "config.toml")
    assert "words.model_file" in str(raised.value)


def test_the_rules_of_the_page_fit_the_shipped_configuration(tmp_path: Path, model: TextModel) -> None:
    """config.toml with what the page shows is a whole configuration; its rules begin in shadow."""
    words, rules = blocks("learning.md", "toml")
    (tmp_path / "spam.model").write_bytes(to_bytes(model))
    shipped = (DOCS.parent / "config.toml").read_text(encoding="utf-8")
    named = words.split("\n", 1)[1].replace("spam.model", str(tmp_path / "spam.model"))
    (tmp_path / "config.toml").write_text(shipped.replace('#model_file = ""', named) + "\n" + rules, encoding="utf-8")

    program = configure(tmp_path / "config.toml").program

    learned = [rule for rule in program.settings.rules if "text_spam" in rule.when]
    assert [(rule.name, rule.mode) for rule in learned] == [
        ("newcomer_reads_like_spam", "shadow"),
        ("reads_like_spam", "shadow"),
    ]
    assert program.model == model


PAGE = (DOCS / "learning.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("verb", "rest"), sorted(set(re.findall(r"^\$ python3 -m roomguard (\w+) (.*)$", PAGE, re.MULTILINE)))
)
def test_the_commands_of_the_page_exist(verb: str, rest: str) -> None:
    """Verbs and options of the page are those of the command line."""
    assert isinstance(main, click.Group)
    known = {name for parameter in main.commands[verb].params for name in parameter.opts}

    assert set(re.findall(r"--[a-z-]+", rest)) <= known
