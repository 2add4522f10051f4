"""The commands of the benchmark suite: their arithmetic, and each of them once from end to end on very little."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench import curves, instructions
from loadtest.bench.__main__ import main
from loadtest.bench.against import pairs, report
from loadtest.bench.checkouts import HERE, OWN, Checkout
from loadtest.bench.drive import TargetFailed
from loadtest.bench.figures import at_most, compared, document, figure, ratio_at_most
from loadtest.bench.frames import build
from loadtest.bench.generated import toml
from loadtest.bench.latency import buckets, longest
from loadtest.bench.page import PageError, filled
from loadtest.bench.staged import netted
from loadtest.bench.stages import run as stage_run
from loadtest.bench.stages.work import events as traffic
from loadtest.bench.targets import TARGETS
from loadtest.bench.together import guards
from roomguard.configure import configure

in_a_checkout = pytest.mark.skipif(not (HERE / ".git").exists(), reason="no checkout of git, so no revisions")


def command(line: str, out: Path) -> tuple[int, dict[str, Any]]:
    """Run a command that writes JSON: its exit code and what it wrote."""
    code = main([*line.split(), "--json", str(out)])
    assert out.is_file(), f"exit code {code}, and nothing was written"
    return code, json.loads(out.read_text(encoding="utf-8"))


def test_a_figure_is_a_median_with_its_spread_and_its_goal() -> None:
    """The median stands beside another one; the goal is kept where value or ratio is no more."""
    one = figure("rules_30", "30 rules", "us", [0.5, 0.7, 9.0])

    assert (one.value, one.least, one.most, one.runs) == (0.7, 0.5, 9.0, 3)
    assert compared(one, "floor", 0.35).ratio == 2
    assert compared(one, "floor", 0.0).ratio is None
    assert [at_most(one, 0.6).kept, at_most(one, 0.7).kept] == [False, True]
    assert [ratio_at_most(compared(one, "f", 1.0), goal).kept for goal in (0.5, 1.0)] == [False, True]
    with pytest.raises(ValueError, match="never measured"):
        figure("x", "", "us", [])


def test_what_a_stage_adds_is_over_the_median_of_what_it_stands_on() -> None:
    """The base is taken off; a stage whose base could not run is left out, never shown whole."""
    stages = {name: {"over": over} for name, over in (("base", ""), ("f", "base"), ("lost", "gone"))}
    times = {"base": [1.0, 1.2, 9.0], "f": [1.5, 2.2, 1.6], "lost": [1.0]}

    net = netted(stages, times)
    assert {name: [round(cost, 6) for cost in runs] for name, runs in net.items()} == {
        "base": [1.0, 1.2, 9.0],
        "f": [0.3, 1.0, 0.4],
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "worse"),
    [
        ([1.2, 1.2, 1.2], [1.0, 1.0, 1.0], True),
        ([1.0, 1.2, 1.2], [1.0, 1.0, 1.0], False),  # its least run is as good: the machine was busy
        ([1.0, 1.0, 1.2], [0.8, 1.0, 1.0], False),
        ([1.09], [1.0], False),
        ([0.5], [1.0], False),
    ],
)
def test_worse_is_what_its_median_and_its_least_run_say(ours: list[float], theirs: list[float], worse: bool) -> None:
    """Ten percent are borne; noise of one run is no regression."""
    (pair,) = pairs({"f": ours}, {"f": theirs, "only there": [1.0]})

    assert pair.worse(0.10) is worse


def test_a_regression_is_said_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the figure, how much worse it is, and the revision; nothing to compare is no success."""
    found = pairs({"decode": [1.5], "ack": [1.0]}, {"decode": [1.0], "ack": [1.0]})

    assert not report(found, "abc123", 0.10)
    said = capsys.readouterr().out
    assert "worse: decode costs 50 % more than at abc123" in said
    assert "worse: ack" not in said
    assert report(found, "abc123", 0.60)
    assert not report([], "abc123", 0.10)


@pytest.mark.slow
def test_every_stage_runs(tmp_path: Path) -> None:
    """No stage is left out, each has a time, and those with a floor stand beside it."""
    code, written = command("stages --events 1000 --runs 1", tmp_path / "out.json")

    assert written["left_out"] == []
    assert code == 0
    figures = {one["name"]: one for one in written["figures"]}
    for name in ("frame_sansio_1", "frame_trio_128", "decode_128", "hand_over_16", "limit_gcra_whole", "judge_mixed"):
        assert figures[name]["ratio"] > 0, name
    assert {one["goal"] for one in figures.values()} > {"<= 0.6 µs/event", "<= 1.5x", "<= 0.1x", "<= 0.15x"}
    over = {"feature_user_count", "feature_near_users", "rules_100", "decision_enforced"}
    assert over <= set(figures)


@pytest.mark.slow
def test_only_some_stages_bring_what_they_stand_beside(tmp_path: Path) -> None:
    """`--only` takes beginnings of names, and adds floors and bases."""
    _, written = command("stages --events 1000 --runs 1 --only decode_1,rules_10", tmp_path / "out.json")

    names = {one["name"] for one in written["figures"]}
    assert names == {"decode_1", "decode_128", "decode_floor_1", "decode_floor_128", "rules_0", "rules_10", "rules_100"}


@pytest.mark.slow
@in_a_checkout
def test_stages_against_a_revision(tmp_path: Path) -> None:
    """Both revisions run by the same code; figures pair up; what is far beyond any noise is borne here."""
    code, written = command(
        "stages --against HEAD --events 1000 --runs 2 --only decode --tolerance 400", tmp_path / "out.json"
    )

    assert code == 0
    assert written["against"].startswith("HEAD")
    assert {pair["name"] for pair in written["pairs"]} >= {"decode_1", "decode_128"}


def test_what_a_revision_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of stages that cannot even be loaded is said, and costs the others nothing."""
    said: list[str] = []
    monkeypatch.setattr(stage_run, "GROUPS", ("nothing_of_the_kind", "outlet"))
    found = stage_run.catalogue(traffic(1_000), said.append)

    assert {stage.name for stage in found} > {"metrics", "journal_64"}
    assert len(said) == 1
    assert said[0].startswith("nothing_of_the_kind: ModuleNotFoundError")


def in_a_clone(clone: Path, module: str, more: str, line: str) -> subprocess.CompletedProcess[str]:
    """A benchmark in a clone of this repository, one module of which has more at its end than what is committed."""
    subprocess.run(["git", "clone", "-q", str(HERE), str(clone)], check=True)
    with (clone / module).open("a", encoding="utf-8") as file:
        file.write(more)
    program = [sys.executable, "-m", "loadtest.bench", *line.split()]
    return subprocess.run(program, cwd=clone, capture_output=True, text=True, check=False)


SLOWER = """
_once = encode_ack


def encode_ack(*args, **more):
    for _ in range(5):
        _once(*args, **more)
    return _once(*args, **more)
"""


DEARER = """
_once = RoomGuard.receive


def _dearer(self, event, now):
    if type(event) is ev.Chat:
        self.program.analyser.judge(event.text)
        self.program.analyser.judge(event.text)
    return _once(self, event, now)


RoomGuard.receive = _dearer
"""


@pytest.mark.slow
@in_a_checkout
def test_a_real_regression_is_found(tmp_path: Path) -> None:
    """A guard made six times as slow in one place: exit code 1, and the place is named. The other code is untouched."""
    line = "stages --against HEAD --events 1000 --runs 1 --only ack,decode_128 --tolerance 100"
    done = in_a_clone(tmp_path / "clone", "roomguard/wire/__init__.py", SLOWER, line)

    assert done.returncode == 1, done.stderr
    assert "worse: ack costs" in done.stdout
    assert "worse: decode_128" not in done.stdout


@pytest.mark.slow
@in_a_checkout
def test_the_guard_against_a_revision(tmp_path: Path) -> None:
    """Two guards in turn, each out of its own folder."""
    line = "whole --against HEAD --events 1500 --rooms 20 --batch 16 --runs 1 --tolerance 900"
    code, written = command(line, tmp_path / "out.json")

    assert code == 0
    assert [pair["name"] for pair in written["pairs"]] == ["guard at 16"]
    assert len({sample["target"] for sample in written["samples"]}) == 2


@pytest.mark.slow
@in_a_checkout
def test_two_revisions_together(tmp_path: Path) -> None:
    """Both judge the same events, each with its own engine; the ratio is of each pair, and far from double here."""
    code, written = command("together --against HEAD --events 4000 --runs 2 --tolerance 100", tmp_path / "out.json")

    figures = {one["name"]: one for one in written["figures"]}
    assert code == 0
    assert set(figures) == {"other", "this", "ratio"}
    assert 0.5 < figures["ratio"]["value"] < 2
    ratios = sorted(own / other for own, other in written["runs"])
    assert ratios == pytest.approx([figures["ratio"]["least"], figures["ratio"]["most"]])


@pytest.mark.slow
@in_a_checkout
def test_two_whole_guards_together(tmp_path: Path) -> None:
    """Each revision's guard takes the same frames, at once, from sockets of its own."""
    line = "together --whole 16 --against HEAD --events 4000 --runs 1 --tolerance 100"
    code, written = command(line, tmp_path / "out.json")

    assert code == 0
    assert [one["name"] for one in written["figures"]] == ["other", "this", "ratio"]
    assert "16 a frame" in written["figures"][0]["what"]
    assert 0.5 < written["figures"][2]["value"] < 2


@pytest.mark.slow
def test_a_guard_that_fails_beside_another_is_said(tmp_path: Path) -> None:
    """The one that is well waits no longer, and what is said is what the other printed."""
    (tmp_path / "roomguard.py").write_text("raise SystemExit('no guard here')", encoding="utf-8")
    broken = Checkout("broken", tmp_path, tmp_path)

    with pytest.raises(TargetFailed, match="no guard here"):
        guards(TARGETS["guard"], (OWN, broken), build(100, 16, rooms=5))


@pytest.mark.slow
@in_a_checkout
def test_a_dearer_engine_is_found_together(tmp_path: Path) -> None:
    """An engine that judges every text two times more costs more than a tenth more: exit code 1."""
    line = "together --against HEAD --events 4000 --runs 1 --tolerance 10"
    done = in_a_clone(tmp_path / "clone", "roomguard/engine/room.py", DEARER, line)

    assert done.returncode == 1, done.stderr
    assert "missed" in done.stdout


@in_a_checkout
def test_an_unknown_revision_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured; git's words are shown."""
    assert main("stages --against no-such-revision --only ack".split()) == 1
    assert main("together --against no-such-revision".split()) == 1
    assert "git rev-parse" in capsys.readouterr().err


def test_start_up_cancels_out_of_instructions() -> None:
    """An event costs what the larger size took more than the smaller one, by the events it has more."""
    totals = {("chat", 100): 1_000_000, ("chat", 400): 1_600_000, ("like", 10): 500, ("like", 20): 600}

    assert instructions.an_event(totals) == {"chat": 2_000, "like": 10}


def test_instructions_are_held_to_the_file() -> None:
    """Ten percent more than the file says is borne, a kind it does not know has no goal."""
    known = {"build": "any", "events": {"chat": 100.0, "like": 100.0}}
    figures = instructions.judged({"chat": 110.0, "like": 111.0, "gift": 5.0}, known, 0.10)

    assert {one.name: one.kept for one in figures} == {"chat": True, "like": False, "gift": None}


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_without_valgrind_only_ci_fails(
    ci: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere it is skipped, with the reason."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", ci)

    assert main(["instructions"]) == code
    assert "there is no valgrind" in capsys.readouterr().err


def test_the_figures_file_knows_every_kind(checkout: Path) -> None:
    """What is committed can be compared with."""
    file = json.loads((checkout / "loadtest/bench/instructions.json").read_text(encoding="utf-8"))

    assert all(set(entry["events"]) == {"chat", "like", "join", "gift", "mixed"} for entry in file.values())


@pytest.mark.slow
def test_the_counted_work_runs_without_valgrind_too(checkout: Path) -> None:
    """Each kind runs in two sizes, each in a process of its own."""
    program = [sys.executable, "-m", "loadtest.bench.stages.counted"]
    done = subprocess.run(program, cwd=checkout, capture_output=True, text=True, check=True)

    forks = json.loads(done.stdout)["forks"]
    sizes: dict[str, list[int]] = {}
    for _, kind, size in forks:
        sizes.setdefault(kind, []).append(size)
    assert len({pid for pid, _, _ in forks}) == 10
    assert set(sizes) == {"chat", "like", "join", "gift", "mixed"}
    assert all(small * 4 <= large and small > 50 for small, large in sizes.values())


@pytest.mark.slow
def test_memory_of_rooms_and_users(tmp_path: Path) -> None:
    """A task costs more than the state alone, an active room more than an idle one, more windows more than few."""
    code, written = command("memory --rooms 1000 --pairs 5000", tmp_path / "out.json")

    assert code == 0
    bytes_of = {one["name"]: one["value"] for one in written["figures"]}
    assert bytes_of["room_task"] > bytes_of["room_state"] > 200
    assert bytes_of["room_active"] > bytes_of["room_state"]
    assert bytes_of["pair_shipped"] > bytes_of["pair_counts"] > 50
    assert bytes_of["process"] > 1
    goals = {one["name"] for one in written["figures"] if one["goal"]}
    assert goals == {
        *("room_task", "pair_counts", "pair_shipped", "pause"),
        *("room_write", "room_read", "room_move"),
    }


def test_curves_change_one_factor_at_a_time() -> None:
    """All others stay in the middle."""
    middle = curves.Point(rooms=5, batch=16)

    assert curves.points({"rooms": [1, 2], "rules": [30]}, middle) == [
        ("rooms", 1, curves.Point(rooms=1, batch=16)),
        ("rooms", 2, curves.Point(rooms=2, batch=16)),
        ("rules", 30, curves.Point(rooms=5, batch=16, rules=30)),
    ]


def test_generated_rules_are_rules(tmp_path: Path, checkout: Path) -> None:
    """A hundred of them behind the shipped configuration are without an error."""
    path = tmp_path / "config.toml"
    path.write_text((checkout / "config.toml").read_text(encoding="utf-8") + toml(100), encoding="utf-8")

    assert len(configure(path).settings.engine.rules) > 100


@pytest.mark.slow
def test_curves_end_to_end(tmp_path: Path) -> None:
    """Each value has a figure beside the first of its factor, a guard without rules as well."""
    line = "curves --factors judging,rules --rules 0,5 --events 2000 --runs 1 --middle 20,16"
    code, written = command(line, tmp_path / "out.json")

    assert code == 0
    assert written["line"] == line
    assert [one["name"] for one in written["figures"]] == ["judging_0", "judging_1", "rules_0", "rules_5"]
    assert [one["beside"] for one in written["figures"]] == ["", "judging_0", "", "rules_0"]
    assert "no rule at all" in written["figures"][0]["what"]


PAGE = "before\n<!-- begin stages -->\nold\n<!-- end stages -->\nafter\n"
STAGES = argparse.Namespace(command="stages", line="stages --only rules")


def test_figures_go_between_their_marks() -> None:
    """What stood there goes, what stands around stays; revision, machine and whether the goal is kept are said."""
    one = at_most(compared(figure("rules_30", "30 rules", "µs/event", [0.5, 0.7, 9.0]), "rules_0", 7.0), 0.6)
    made = {**document(STAGES, [one]), "revision": "abc123"}
    page = filled(PAGE, made)

    said = "`python3 -m loadtest.bench stages --only rules`\nat revision `abc123`, Python 3."
    assert page.startswith(f"before\n<!-- begin stages -->\n{said}")
    assert page.endswith("\n<!-- end stages -->\nafter\n")
    assert "old" not in page
    assert "| `rules_30` | 30 rules | 0.700 (0.500 to 9.00) µs/event | 0.100 x `rules_0` |" in page
    assert "at most 0.6 µs/event, **missed**" in page
    assert filled(page, made) == page


@pytest.mark.parametrize("page", ["", PAGE + PAGE, "<!-- end stages --><!-- begin stages -->"])
def test_a_page_without_a_place_is_left_alone(page: str) -> None:
    """Figures never land anywhere else."""
    with pytest.raises(PageError, match="no place for stages"):
        filled(page, document(STAGES, []))


METRICS = """# HELP roomguard_loop_lag_seconds seconds (loop lag)
roomguard_loop_lag_seconds_bucket{le="0.001"} %d.0
roomguard_loop_lag_seconds_bucket{le="0.005"} %d.0
roomguard_loop_lag_seconds_bucket{le="+Inf"} %d.0
"""


@pytest.mark.parametrize(
    ("before", "after", "stall_ms"),
    [
        ((1, 1, 1), (9, 9, 9), 1.0),
        ((1, 4, 4), (2, 6, 6), 5.0),
        ((0, 3, 3), (5, 8, 8), 1.0),
        ((0, 0, 0), (0, 0, 2), 5.0),
    ],
)
def test_the_longest_stall_is_that_of_the_load_alone(
    before: tuple[int, ...], after: tuple[int, ...], stall_ms: float
) -> None:
    """Only what the guard counted since; the bound of the bucket, the last one where it was beyond all of them."""
    assert longest(buckets(METRICS % before), buckets(METRICS % after)) == stall_ms


@pytest.mark.slow
def test_latency_at_a_share_of_the_capacity(tmp_path: Path) -> None:
    """Acks have a p50 and a p99, beside the idle round trip of the same run; a stall has a bound."""
    line = "latency --seconds 1 --rooms 50 --capacity 4000 --loads 50 --parts loads,fairness"
    code, written = command(line, tmp_path / "out.json")

    assert code == 0
    figures = {one["name"]: one for one in written["figures"]}
    assert 0 < figures["ack_p50_50"]["value"] <= figures["ack_p99_50"]["value"]
    assert figures["ack_p50_50"]["ratio"] > 0
    assert figures["idle_50"]["value"] > 0
    assert figures["stall_50"]["value"] > 0
    assert figures["robbed_50"]["value"] >= 0
    assert "1.5x" in figures["ack_p99_beside_hot"]["goal"]
    assert figures["ack_p99_beside_flooded"]["ratio"] > 0


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_shared_generator_can_be_the_workload(tmp_path: Path) -> None:
    """The guard takes all of it: no event is rejected, some are acted on."""
    line = "whole --workload shared --events 4000 --batch 16 --runs 1 --targets floor,guard"
    code, written = command(line, tmp_path / "out.json")

    assert code == 0
    rows = {row["target"]: row for row in written["rows"]}
    assert rows["guard"]["rejected"] == rows["floor"]["rejected"] == 0
    assert rows["guard"]["action_share"] > 0
