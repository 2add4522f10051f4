"""Servers to compare with. Each reads the PROTOCOL frames the guard reads and acknowledges them.

    y1          what a competent engineer writes in a day: asyncio, uvloop, websockets, orjson, Aho-Corasick, dicts
    y1_tuned    the same, its rules tuned by a profile: prefilters before regular expressions
    y1_valkey   the same with its counters in Valkey, one pipeline a frame
    y3          the idiomatic trio program: trio-websocket, a task and a memory channel a room
    floor       no decision: websockets' sans-I/O protocol on a trio stream, msgspec, an ack a frame

They are yardsticks, not guards: no sessions, no journal, no bounds, one set of fixed rules.
"""
