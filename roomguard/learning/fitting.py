"""A linear model fitted to read texts: the same samples give the same bytes on every machine.

A support vector machine with squared loss, solved in the dual one sample at a time (Hsieh and others, 2008): there is
no learning rate to choose, a pass over the samples costs about what reading their n-grams does, and a few passes are
enough. Rare n-grams weigh more, by the logarithm of how rare they are, and so do those that one kind uses more than the
other (after Wang and Manning, 2012); those of words weigh more than those of characters, which learn more of what only
the rooms they are taught in say. A logistic curve through margins of samples that were left out makes probabilities of
margins (Platt, 1999).
"""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from collections.abc import Sequence
from operator import itemgetter

import attrs

from roomguard.engine.text.model import MIDDLE, SHAPES, SIZE, Figures, Reading, TextModel, normal, of_words, read
from roomguard.learning.samples import Sample

PASSES = 8
"""Passes over the samples; more change nothing that a byte a weight could show."""
COST = 2.0
"""What a sample on the wrong side costs, against the size of the weights."""
MOST_WEIGHT = 8.0
"""Rare spam counts for more, up to this much: otherwise "all is ham" is the cheapest answer."""
_WORD_SCALE = 2
"""What an n-gram of words weighs beside one of characters."""
_SHAPE_SCALE = 0.1
"""The same of a text's length, repetition and capitals; they are a room's habit before they are spam's."""
_LEAST_STEP = 1e-4
_RARE_SCALE = 0.25
_RARE_POWER = 1.25
_SIDED_SHARE = 0.25
"""How much of an n-gram's weight goes by how far apart spam and ham are in using it."""
_SCALE_STEPS = 1 << 12
_STEP_STEPS = 1 << 16
_FINE = _SCALE_STEPS * _STEP_STEPS
_STEPS = 127
_CLIP_SHARE = 0.0005
"""Of the weights in use the largest ones are cut, so that the others get finer steps."""


@attrs.frozen
class Weights:
    """A model before it is made small."""

    table: Sequence[int]
    """In steps of 1 / `_FINE`: sums of whole numbers do not depend on their order or the Python that adds them."""
    shapes: Sequence[float]
    bias: float


@attrs.frozen
class Curve:
    """From margins to log-odds: `slope` times the margin plus `offset`."""

    slope: float = 1.0
    offset: float = 0.0


@attrs.frozen
class Read:
    """A sample ready for fitting."""

    grams: array[int]
    words: array[int]
    """Those of them that n-grams of words have."""
    shapes: tuple[int, int, int]
    spam: bool

    def reading(self) -> Reading:
        """The same as the model takes it."""
        return Reading(tuple(self.grams), self.shapes)


def prepare(samples: Sequence[Sample]) -> list[Read]:
    """Samples read once for all fits. The order of n-grams is settled, whatever order a set has here."""
    out = []
    for sample in samples:
        reading = read(sample.low, sample.part)
        words = sorted(set(of_words(normal(sample.low))))
        out.append(Read(array("I", sorted(reading.grams)), array("I", words), reading.shapes, sample.spam))
    return out


def order_of(seed: str, count: int) -> list[int]:
    """Numbers below `count`, shuffled, the same for a seed for ever."""
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)  # noqa: S311 - an order, not a secret
    return numbers


def fit(samples: Sequence[Read]) -> Weights:
    """Weights that tell the spam among the samples from the rest."""
    usable = [sample for sample in samples if len(sample.grams) > 1]
    scales = _scales(usable)
    table, shapes, bias = [0] * SIZE, [0.0] * SHAPES, 0.0
    spam = sum(sample.spam for sample in usable)
    weight = max(1.0, min(MOST_WEIGHT, (len(usable) - spam) / max(1, spam) / 4))
    duals = [0.0] * len(usable)
    norms = [1 / math.sqrt(len(sample.grams)) for sample in usable]
    lengths = [
        sum(itemgetter(*sample.grams)(scales)) / _SCALE_STEPS * norm * norm + 1 + 3 * _SHAPE_SCALE**2
        for sample, norm in zip(usable, norms, strict=True)
    ]
    for turn in range(PASSES):
        for number in order_of(f"pass {turn}", len(usable)):
            sample, norm = usable[number], norms[number]
            sign, ridge = (1.0, 0.5 / (COST * weight)) if sample.spam else (-1.0, 0.5 / COST)
            length, variety, case = sample.shapes
            looks = shapes[length] + shapes[variety] + shapes[case]
            margin = sum(itemgetter(*sample.grams)(table)) / _FINE * norm + looks + bias
            before = duals[number]
            after = max(before - (sign * margin - 1 + ridge * before) / (lengths[number] + ridge), 0.0)
            step = sign * (after - before)
            if abs(step) < _LEAST_STEP:
                continue
            duals[number] = after
            bias += step
            for shape in sample.shapes:
                shapes[shape] += step * _SHAPE_SCALE**2
            steps = round(step * norm * _STEP_STEPS)
            for gram in sample.grams:
                table[gram] += steps * scales[gram]
    return Weights(table, shapes, bias)


def _scales(samples: Sequence[Read]) -> list[int]:
    """The square of how much each n-gram weighs, in `_SCALE_STEPS`: what is common or in both kinds tells little."""
    counts, spam, of_words = [0] * SIZE, [0] * SIZE, [0] * SIZE
    for sample in samples:
        for gram in sample.grams:
            counts[gram] += 1
        for gram in sample.words:
            of_words[gram] += 1
        if sample.spam:
            for gram in sample.grams:
                spam[gram] += 1
    used = sum(map(bool, counts)) or 1
    odds = math.log((sum(counts) - sum(spam) + used) / (sum(spam) + used))
    squares = {pair: _square(*pair, len(samples), odds) for pair in sorted(set(zip(counts, spam, strict=True)))}
    # Where characters and words share a place, it is theirs whose it is more often.
    return [
        squares[count, bad] * _WORD_SCALE**2 if 2 * words > count else squares[count, bad]
        for count, bad, words in zip(counts, spam, of_words, strict=True)
    ]


def _square(count: int, spam: int, samples: int, odds: float) -> int:
    if not count:
        return 0
    rare = math.pow(_RARE_SCALE * math.log1p(samples / count), _RARE_POWER)
    sided = abs(math.log((spam + 1) / (count - spam + 1)) + odds)
    return round((rare * (1 - _SIDED_SHARE + _SIDED_SHARE * sided)) ** 2 * _SCALE_STEPS)


def packed(weights: Weights, curve: Curve, figures: Figures) -> TextModel:
    """The model in small: a byte a weight, the curve in its unit and bias."""
    sizes = sorted((abs(weight) for weight in weights.table if weight), reverse=True)
    unit = (sizes[int(len(sizes) * _CLIP_SHARE)] if sizes else _FINE) / _STEPS
    table = bytes(MIDDLE + max(-_STEPS, min(_STEPS, round(weight / unit))) for weight in weights.table)
    return TextModel(
        table=table,
        unit=_short(unit / _FINE * curve.slope),
        bias=_short(weights.bias * curve.slope + curve.offset),
        slope=_short(curve.slope),
        shapes=tuple(_short(shape * curve.slope) for shape in weights.shapes),
        figures=figures,
    )


def _short(number: float) -> float:
    """Nine digits: enough for the model, too few for one machine's logarithm to differ from another's."""
    return float(f"{number:.9g}")


def calibrate(margins: Sequence[float], spam: Sequence[bool]) -> Curve:
    """The logistic curve through margins of samples that the weights were not fitted to, by Newton's method."""
    positive = sum(spam)
    negative = len(spam) - positive
    if not positive or not negative:
        return Curve()
    # Targets a little inside 0 and 1 keep the curve from growing ever steeper where the two never overlap.
    targets = [(positive + 1) / (positive + 2) if one else 1 / (negative + 2) for one in spam]
    slope, offset = 1.0, 0.0
    loss = _loss(margins, targets, slope, offset)
    for _ in range(50):
        along = _newton(margins, targets, slope, offset)
        found = _shorter(margins, targets, (slope, offset), along, loss)
        if found is None:
            break
        slope, offset, better = found
        if loss - better < 1e-9 * len(spam):
            break
        loss = better
    return Curve(max(slope, 1e-3), offset)


def _shorter(
    margins: Sequence[float], targets: Sequence[float], at: tuple[float, float], along: tuple[float, float], loss: float
) -> tuple[float, float, float] | None:
    """The first of ever shorter steps that lowers the loss: slope, offset and loss there; None where none does."""
    scale = 1.0
    while scale > 1e-6:
        slope, offset = at[0] + scale * along[0], at[1] + scale * along[1]
        found = _loss(margins, targets, slope, offset)
        if found < loss:
            return slope, offset, found
        scale /= 2
    return None


def _loss(margins: Sequence[float], targets: Sequence[float], slope: float, offset: float) -> float:
    total = 0.0
    for margin, target in zip(margins, targets, strict=True):
        odds = slope * margin + offset
        total += max(odds, 0.0) - odds * target + math.log1p(math.exp(-abs(odds)))
    return total


def _newton(margins: Sequence[float], targets: Sequence[float], slope: float, offset: float) -> tuple[float, float]:
    first = second = 0.0
    square, cross, flat = 1e-9, 0.0, 1e-9
    for margin, target in zip(margins, targets, strict=True):
        chance = 1 / (1 + math.exp(-max(-30.0, min(30.0, slope * margin + offset))))
        error, spread = target - chance, chance * (1 - chance)
        first += margin * error
        second += error
        square += margin * margin * spread
        cross += margin * spread
        flat += spread
    determinant = square * flat - cross * cross
    if determinant <= 0:
        return 0.0, 0.0
    return (flat * first - cross * second) / determinant, (square * second - cross * first) / determinant


def share_of(text: str, parts: int) -> int:
    """Which of `parts` a name falls into: the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") % parts
