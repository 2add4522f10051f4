"""Benchmarks: what an event costs here, beside what it costs others. docs/performance.md says how to read them.

    python -m loadtest.bench whole          the same frames to the guard and to yardsticks, CPU an event
    python -m loadtest.bench stages         each stage of the path alone, beside its floor
    python -m loadtest.bench instructions   the pure core without noise, held to a committed file
    python -m loadtest.bench memory         bytes of rooms and users, pauses of the garbage collector
    python -m loadtest.bench latency        event to ack and to action at shares of the capacity
    python -m loadtest.bench curves         rooms, batch, judging, rules, users, share of chat: one at a time
    python -m loadtest.bench page           figures of `--json` into the page

Figures belong to the machine; the ratios are the result.
"""
