"""What the rule compiler finds wrong, at the line where it stands."""

from __future__ import annotations

import pytest

from roomguard.config import load_document
from roomguard.config.reading import parse
from roomguard.configure import Configuration, compiled, differences
from roomguard.errors import ConfigError

WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "a pattern RE2 refuses": (
        '[words]\nregex = ["fine",\n"("]',
        ("c.toml:3: words.regex[1]: RE2 does not take it: missing ",),
    ),
    "a huge pattern": ('[words]\nregex = ["x{1000}{1000}"]', ("c.toml:2: words.regex[0]: RE2 does not take it: ",)),
    "a pattern for everything": (
        '[words]\nregex = ["a*"]',
        ("c.toml:2: words.regex[0]: matches the empty text, and so every",),
    ),
    "a text for no action": (
        '[reasons]\n"bogus.x" = { en = "hi" }',
        ("c.toml:2: reasons.bogus.x.en: 'bogus' is no kind",),
    ),
    "a step": ('[ladders.default]\nsteps = ["mute"]', ("c.toml:2: ladders.default.steps: mute needs a number",)),
    "a rate": ('[limits.a]\nrate = "eight"', ("c.toml:2: limits.a.rate: 'eight' is no rate",)),
    "a strategy": (
        '[engine]\nforce_strategy = "kids"',
        ("c.toml:2: engine.force_strategy: there is no strategy 'kids'",),
    ),
    "a feature nobody knows": (
        '[[rules]]\nname = "one"\nwhen = "user_chats > 1"\n[[rules]]\nname = "two"\nwhen = "user_chat > 1"',
        ("c.toml:6: rules[two].when: ",),
    ),
    "several": (
        '[words]\nregex = ["("]\n[[rules]]\nname = "a"\nwhen = "nothing > 1"\n[limits.b]\nrate = "x"',
        ("c.toml:2: words.regex[0]: ", "c.toml:5: rules[a].when: ", "c.toml:7: limits.b.rate: "),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    """Each thing the compiler finds is placed at its key, beside what was found before it."""
    text, expected = WRONG[name]

    with pytest.raises(ConfigError) as caught:
        compiled(load_document(parse(text.encode(), "c.toml")))

    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == len(expected)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == list(expected)


def test_version_follows_what_judges() -> None:
    """The version changes with whatever can change a decision, and with nothing else."""

    def version(text: str) -> Configuration:
        loaded = load_document(parse(text.encode(), "c.toml"))
        return Configuration(loaded.settings, compiled(loaded))

    plain, other, moved = version(""), version("[budget]\nactions_per_room_minute = 7"), version("[rooms]\nidle_s = 7")

    assert plain.program.version == moved.program.version != other.program.version
    assert [change.key for change in differences(plain, other)] == ["budget.actions_per_room_minute"]
