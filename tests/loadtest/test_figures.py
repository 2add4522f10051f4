"""What is reported: percentiles, thresholds, exit codes, the page."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from loadtest import report
from loadtest.charts import nice_ceiling
from loadtest.cli import is_loopback, main, options
from loadtest.histogram import Histogram
from loadtest.messages import Action
from loadtest.options import Limits, Load, Options
from loadtest.outcome import document, missed
from loadtest.runner import Run, Second, plan
from loadtest.tally import Tally


def test_percentiles_are_good_to_a_hundredth() -> None:
    """A percentile of the histogram lies within 1 % above the exact one."""
    rng = random.Random(3)
    exact = sorted(rng.lognormvariate(-5, 1.5) for _ in range(20_000))
    histogram = Histogram()
    for value in exact:
        histogram.add(value)

    for share in (0.5, 0.9, 0.99, 0.999):
        true = exact[int(share * len(exact)) - 1]
        found = histogram.percentile(share)
        assert found is not None
        assert true * 0.999 <= found <= true * 1.011
    assert histogram.percentile(1.0) == exact[-1]


def test_weights_count_as_so_many_durations() -> None:
    """A frame of 99 fast events and one slow event have their p99 among the fast."""
    histogram = Histogram()
    histogram.add(0.001, 99)
    histogram.add(1.0, 1)

    assert histogram.count == 100
    assert histogram.percentile(0.99) == pytest.approx(0.001, rel=0.02)
    assert histogram.percentile(0.999) == 1.0


def test_an_empty_histogram_knows_nothing() -> None:
    """What was not measured is None, never zero."""
    assert Histogram().percentile(0.5) is None
    assert Histogram().summary_ms()["max"] is None


def make_run(**changes: Any) -> Run:
    chosen = Options(load=Load(rooms=20, edges=2, rate=500, seconds=6))
    script = plan(chosen)
    run = Run(chosen, script, Tally(script.attackers), **changes)
    run.tally.counts.sent = run.load_events = 1_000
    run.tally.counts.accepted = 990
    run.tally.rejected["shed"] = 4
    run.tally.acked(1.0, 1.001, 1.010, 1_000)
    run.elapsed = 6.0
    run.sending = 5.9
    run.idle = [0.001, 0.002, 0.003]
    run.seconds = [Second(1, 500, 499, 2, 1.0, 2.0, None, 0.4, 50_000_000, 0.2)] * 3
    return run


def test_what_was_sent_is_accepted_rejected_or_lost() -> None:
    """Nothing sent goes missing from the count."""
    events = document(make_run(unacked=5))["events"]

    assert events["lost"] == 6
    assert events["shed"] == 4
    assert events["sent"] == events["accepted"] + events["rejected"] + events["lost"]


@pytest.mark.parametrize(
    ("limit", "value", "kept"),
    [
        ("max_lost", 6, True),
        ("max_lost", 5, False),
        ("max_unacked", 0, True),
        ("max_p99_ms", 10.0, True),
        ("max_p99_ms", 8.9, False),
        ("max_p99_idle_trips", 5.0, True),
        ("max_p99_idle_trips", 4.0, False),
        ("max_shed", 3, False),
        ("max_rejected", 4, True),
        ("max_innocents", 0, True),
        ("min_rate_share", 0.3, True),
        ("min_rate_share", 0.4, False),
        ("max_cpu_us", 1e9, False),  # nothing was measured, so nothing was kept
    ],
)
def test_thresholds(limit: str, value: float, *, kept: bool) -> None:
    """A threshold is kept up to and including its value, and never by what was not measured."""
    limits = attrs.evolve(Limits(), **{limit: value})

    assert (missed(limits, document(make_run())) == []) is kept


def test_recall_and_innocents_are_told_apart() -> None:
    """A mute of an attacker is a catch, of anyone else a hit innocent; warnings and inverses are neither."""
    run = make_run()
    attackers = sorted(run.script.attackers)
    for user in attackers:
        run.script.attackers[user].began = 100.0
    run.tally.judge(Action("a1", "mute", "r1", user=attackers[0]), 101.5)
    run.tally.judge(Action("a2", "warn", "r1", user=attackers[1]), 101.0)
    run.tally.judge(Action("a3", "mute", "r1", user="u3", rule="too_fast"), 101.0)
    run.tally.judge(Action("a4", "warn", "r1", user="u4"), 101.0)
    run.tally.judge(Action("a5", "unmute", "r1", user="u5", undoes="a0"), 101.0)
    doc = document(run)

    kind = doc["attacks"][run.script.attackers[attackers[0]].kind]
    assert sum(attack["caught"] for attack in doc["attacks"].values()) == 1
    assert kind["first_action_s_p50"] == 1.5
    assert doc["innocents"]["hit"] == 1
    assert doc["innocents"]["by_rule"] == {"too_fast": 1}


def test_a_repeated_action_counts_once() -> None:
    """An id seen twice is the same action."""
    tally = Tally({})

    assert tally.is_new(Action("a1", "mute", "r1", offset=1))
    assert not tally.is_new(Action("a1", "mute", "r1", offset=1))
    assert tally.counts.actions == 1
    assert tally.counts.actions_repeated == 1
    assert tally.is_new(Action("a0", "mute", "r1", offset=1))
    assert tally.counts.actions_out_of_order == 1


def test_the_page_needs_nothing_from_outside() -> None:
    """One file: no address, no script, no font, no picture but inline."""
    run = make_run()
    run.tally.by_rule['<b>"rule"</b>'] = 3
    page = report.page(document(run))

    assert not re.search(r"(?:https?:)?//|<script|<link|<img|url\(|@import", page)
    assert "<b>&quot;" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<svg") == 6
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.1, 2), (23, 25), (26, 50), (700, 1000)])
def test_axes_end_on_round_numbers(value: float, top: float) -> None:
    """An axis ends on 1, 2, 2.5 or 5 times a power of ten."""
    assert nice_ceiling(value) == top


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("ws://127.0.0.1:1", True),
        ("ws://127.9.9.9:1", True),
        ("ws://[::1]:1", True),
        ("ws://localhost:1", True),
        ("ws://10.0.0.1:1", False),
        ("ws://localhost.example:1", False),
        ("ws://guard.example", False),
    ],
)
def test_what_is_this_machine(url: str, *, ours: bool) -> None:
    """Only loopback addresses and the name localhost are this machine."""
    assert is_loopback(url) is ours


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "ws://guard.example"],
        ["--url", "http://127.0.0.1:1"],
        ["--scenario", "war"],
        ["--rate", "0"],
        ["--rooms", "-1"],
        ["--recording", "no-such-file.jsonl"],
    ],
)
def test_usage_errors_leave_with_2(arguments: list[str]) -> None:
    """What makes no sense is refused before anything is started; foreign machines are nobody's default target."""
    with pytest.raises(SystemExit) as left:
        main(arguments)

    assert left.value.code == 2


def test_a_foreign_target_takes_a_promise() -> None:
    """A server elsewhere may be loaded by who says that it is theirs."""
    assert options(["--url", "ws://guard.example", "--i-own-this-server"]).target.url == "ws://guard.example"


def test_no_guard_is_a_run_that_could_not_be_carried_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused connection is exit code 3 and one line, not a traceback."""
    code = main(["--url", "ws://127.0.0.1:9", "--rooms", "2", "--json", str(tmp_path / "x.json"), "--quiet"])

    assert code == 3
    assert "no connection" in capsys.readouterr().err
