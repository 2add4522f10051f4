"""What differs between two configurations, in words."""

from __future__ import annotations

from roomguard.config import Settings, load_document
from roomguard.config.changes import changes
from roomguard.config.reading import parse

RULE = '[[rules]]\nname = "{}"\nwhen = "{}"\n'


def settings(text: str) -> Settings:
    return load_document(parse(text.encode(), "c.toml")).settings


def told(old: str, new: str) -> list[str]:
    return [f"{change}{' (restart)' if change.restart else ''}" for change in changes(settings(old), settings(new))]


def test_nothing() -> None:
    """Two files that mean the same do not differ, however they are written."""
    assert told("[thresholds]\na = 1\n", "thresholds = { a = 1.0 }\n") == []


def test_values() -> None:
    """Each setting is named as in the file, with both values, and whether it has to wait for a restart."""
    old = "mode = 'shadow'\n[thresholds]\na = 1\nb = 2\n[rooms]\nidle_s = 5\n"
    new = "[thresholds]\na = 1\nc = 2\n[rooms]\nidle_s = 6\n"

    assert told(old, new) == [
        "rooms.idle_s 5.0 -> 6.0 (restart)",
        "mode 'shadow' -> 'enforce'",
        "thresholds.c not set -> 2.0",
        "thresholds.b 2.0 -> not set",
    ]


def test_rules_by_name() -> None:
    """A rule put in front of others is one new rule, not a change of all."""
    one, two = RULE.format("one", "x > 1"), RULE.format("two", "x > 2")

    found = told(one, two + one)

    assert {line.split()[0].rsplit(".", 1)[0] for line in found} == {"rules.two"}
    assert told(one, RULE.format("one", "x > 3")) == ["rules.one.when 'x > 1' -> 'x > 3'"]


def test_secrets_stay_secret() -> None:
    """That a secret changed is said, the secret is not."""
    assert told("listen.tokens = ['old']", "listen.tokens = ['new']") == [
        "listen.tokens (secret) -> (another secret) (restart)"
    ]
