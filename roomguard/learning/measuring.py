"""Held-out figures: no text that is measured was learned from, whoever sent it and however it was dressed.

Samples that say the same are one sample, so that a copy can never stand on both sides. Without files to hold out, each
fifth of the users (or of the texts, or each file) is judged by weights fitted to the others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from roomguard.engine.text.model import MIDDLE, Figures, TextModel, grams, normal, spelled
from roomguard.learning.fitting import Curve, Read, calibrate, fit, order_of, packed, prepare, share_of
from roomguard.learning.samples import Sample

PARTS = 5
"""Parts that users or texts are split into."""
HAM_PER_SPAM = 20
"""Ham learned from for one spam; more teaches little and takes long."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_NOTHING = Figures(0, 0, 0.0, 0.0, 0.0)


@attrs.define
class Merged:
    """Samples of which no two say the same."""

    samples: list[Sample]
    copies: int = 0
    """Samples that said what another one said."""
    disputed: int = 0
    """Texts labelled both ways: what most said stands, ham where it is even."""


def merge(samples: Iterable[Sample]) -> Merged:
    """One sample a text, the first, labelled as most of them."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.key].append(sample)
    out = Merged([])
    for group in groups.values():
        spam = sum(sample.spam for sample in group)
        out.copies += len(group) - 1
        out.disputed += 0 < spam < len(group)
        out.samples.append(attrs.evolve(group[0], spam=2 * spam > len(group)))
    return out


def without(samples: Iterable[Sample], others: Iterable[Sample]) -> list[Sample]:
    """The samples that say nothing the others say."""
    keys = {sample.key for sample in others}
    return [sample for sample in samples if sample.key not in keys]


def thinned(samples: Sequence[Sample], ham_per_spam: int = HAM_PER_SPAM) -> list[Sample]:
    """All spam, and so much ham for each at most; which ham is settled by what it says."""
    most = ham_per_spam * max(1, sum(sample.spam for sample in samples))
    ham = [number for number, sample in enumerate(samples) if not sample.spam]
    if len(ham) <= most:
        return list(samples)
    chosen = {ham[at] for at in order_of("ham", len(ham))[:most]}
    return [sample for number, sample in enumerate(samples) if sample.spam or number in chosen]


@attrs.frozen
class Judged:
    """Held-out samples and how likely each was called spam."""

    chances: Sequence[float]
    spam: Sequence[bool]

    def figures(self, threshold: float = 0.5) -> Figures:
        """What calling spam from `threshold` on is worth."""
        called = [(chance >= threshold, spam) for chance, spam in zip(self.chances, self.spam, strict=True)]
        right = sum(call and spam for call, spam in called)
        calls, positive = sum(call for call, _ in called), sum(self.spam)
        precision, recall = right / calls if calls else 0.0, right / positive if positive else 0.0
        f1 = 2 * right / (calls + positive) if calls + positive else 0.0
        return Figures(positive, len(called) - positive, round(precision, 4), round(recall, 4), round(f1, 4))

    def ham_called(self, threshold: float) -> float:
        """The share of ham called spam."""
        ham = [chance >= threshold for chance, spam in zip(self.chances, self.spam, strict=True) if not spam]
        return sum(ham) / len(ham) if ham else 0.0


@attrs.frozen
class Learned:
    """A model and what it was worth on texts that its weights, or those of a part, were not fitted to."""

    model: TextModel
    judged: Judged
    parts: tuple[tuple[str, Judged], ...]
    """The same by what was held out."""


Split = Literal["user", "text", "file"]


def learn(samples: Sequence[Sample], split: Split) -> Learned:
    """A model of all samples; its figures come from models of parts of them."""
    cross = _cross(samples, split)
    weights = fit(prepare(samples))
    curve = calibrate(cross.margins, cross.spam)
    figures = cross.judged.figures()
    return Learned(packed(weights, curve, figures), cross.judged, cross.parts)


def learn_for(samples: Sequence[Sample], held_out: Sequence[Sample], split: Split) -> Learned:
    """A model of `samples`; its figures come from `held_out`."""
    cross = _cross(samples, split)
    weights = fit(prepare(samples))
    curve = calibrate(cross.margins, cross.spam)
    judged = _judge(packed(weights, curve, _NOTHING), prepare(held_out))
    by_file: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(held_out):
        by_file[sample.file].append(number)
    parts = tuple(
        (file, Judged([judged.chances[at] for at in numbers], [judged.spam[at] for at in numbers]))
        for file, numbers in by_file.items()
    )
    return Learned(packed(weights, curve, judged.figures()), judged, parts)


@attrs.frozen
class _Cross:
    """Every sample judged by weights that were not fitted to it."""

    margins: list[float]
    spam: list[bool]
    judged: Judged
    parts: tuple[tuple[str, Judged], ...]


def _cross(samples: Sequence[Sample], split: Split) -> _Cross:
    read = prepare(samples)
    names = [_part_of(sample, split) for sample in samples]
    margins = [0.0] * len(samples)
    models = {}
    for name in sorted(set(names)):
        models[name] = packed(
            fit([one for one, part in zip(read, names, strict=True) if part != name]), Curve(), _NOTHING
        )
    for at, (one, name) in enumerate(zip(read, names, strict=True)):
        margins[at] = models[name].margin(one.reading())
    spam = [one.spam for one in read]
    chances = [0.0] * len(samples)
    parts = []
    for name, fitted in models.items():
        inside = [at for at, part in enumerate(names) if part == name]
        # The curve, too, comes from the other parts.
        outside = [at for at, part in enumerate(names) if part != name]
        curve = calibrate([margins[at] for at in outside], [spam[at] for at in outside])
        model = _with_curve(fitted, curve)
        for at in inside:
            chances[at] = model.chance(read[at].reading())
        parts.append((name, Judged([chances[at] for at in inside], [spam[at] for at in inside])))
    return _Cross(margins, spam, Judged(chances, spam), tuple(parts))


def _with_curve(model: TextModel, curve: Curve) -> TextModel:
    return attrs.evolve(
        model,
        unit=model.unit * curve.slope,
        bias=model.bias * curve.slope + curve.offset,
        slope=curve.slope,
        shapes=tuple(shape * curve.slope for shape in model.shapes),
    )


def _judge(model: TextModel, read: Sequence[Read]) -> Judged:
    return Judged([model.chance(one.reading()) for one in read], [one.spam for one in read])


def _part_of(sample: Sample, split: Split) -> str:
    if split == "file":
        return sample.file
    name = sample.user if split == "user" and sample.user else sample.key
    return f"part {share_of(name, PARTS) + 1} of {PARTS}"


def loudest(model: TextModel, samples: Sequence[Sample], *, spam: bool, most: int = 20) -> list[tuple[str, int]]:
    """The n-grams that speak loudest for spam (or for ham) in the samples, with the number of those they stand in."""
    counts: Counter[str] = Counter()
    weights: dict[str, int] = {}
    sign = 1 if spam else -1
    for sample in samples:
        if sample.spam != spam:
            continue
        text = normal(sample.low)
        own = {gram: model.table[place] - MIDDLE for gram, place in zip(spelled(text), grams(text), strict=True)}
        loud = {gram: weight for gram, weight in own.items() if weight * sign > 0}
        counts.update(loud.keys())
        weights.update(loud)
    ranked = sorted(counts, key=lambda gram: (-abs(weights[gram]) * counts[gram] ** 0.5, gram))
    out: list[tuple[str, int]] = []
    for gram in ranked:
        if len(out) == most:
            break
        if gram.strip() and not any(gram in other or other in gram for other, _ in out):
            out.append((gram, counts[gram]))
    return out
