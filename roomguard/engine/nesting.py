"""Conditions that share what they need, nested so that an ordinary event answers them with few tests.

    if f.repeated >= 20 and f.repeat_share >= 0.4:
        if f.repeated >= 40: ...
        if user.chats > 3: ...

instead of one row of tests for each. Only the order of tests and how often they are made changes: a body runs exactly
where its operands hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from roomguard.engine.rules.operands import Operand, all_need

UNLIKELY, CHEAP = 0, 1
"""Ranks of operands: what an ordinary event fails comes first, then what costs little. Higher ranks cost more."""


@attrs.frozen
class Block:
    """Lines of source to run where all operands hold."""

    operands: tuple[Operand, ...]
    lines: tuple[str, ...]


Rank = Callable[[Operand], int]


def nested(blocks: Sequence[Block], rank: Rank) -> list[str]:
    """The source of all blocks, each behind its operands."""
    always = [block for block in blocks if not block.operands]
    lines = [line for block in always for line in block.lines]
    left = [_sorted(block, rank) for block in blocks if block.operands]
    for level in (UNLIKELY, CHEAP):
        while (shared := _most_shared([block for block in left if rank(block.operands[0]) == level], rank)) is not None:
            inside = [block for block in left if rank(block.operands[0]) == level and all_need(block.operands, shared)]
            left = [block for block in left if block not in inside]
            lines += [f"if {shared.true}:", *_indented(nested([_without(b, shared) for b in inside], rank))]
    for block in left:
        test = " and ".join(operand.true for operand in block.operands)
        if len(block.lines) == 1 and not block.lines[0].startswith("if "):
            lines.append(f"if {test}: {block.lines[0]}")
        else:
            lines += [f"if {test}:", *_indented(block.lines)]
    return lines


def _sorted(block: Block, rank: Rank) -> Block:
    return Block(tuple(sorted(block.operands, key=rank)), block.lines)


def _without(block: Block, operand: Operand) -> Block:
    return Block(tuple(one for one in block.operands if one.true != operand.true), block.lines)


def _most_shared(blocks: Sequence[Block], rank: Rank) -> Operand | None:
    """Of what blocks begin with, what most of them need: at least two, or a test more would be made and none saved."""
    best, most = None, 1
    for block in blocks:
        for operand in block.operands:
            if rank(operand) > rank(block.operands[0]):
                break
            sharing = sum(all_need(other.operands, operand) for other in blocks)
            if sharing > most:
                best, most = operand, sharing
    return best


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
