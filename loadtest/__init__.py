"""An independent load generator: simulated or recorded rooms against a guard, through its socket alone.

`python3 -m loadtest` is the command; it shares no code with roomguard and runs on asyncio and uvloop. What it plays
follows from `--seed`; whom it calls an attacker it knows because it made the attack.

The JSON of `--json` (`schema` 1; what was not measured is null):

    schema, machine            version of this schema; Python and system
    options                    what was asked for (recordings by file name)
    script                     rooms, users (ordinary people), edges, seconds, attackers, episodes by kind,
                               skipped_records (control records of a recording, by type)
    sending_s, elapsed_s       from the start of the load to its last frame, and to its last answer
    events                     sent (all phases), sent_in_load, rate (events a second of the load), unsent_frames,
                               accepted, rejected, rejected_by_code, shed (of the rejected: `shed` and `overload`),
                               lost (no answer by the end; sent = accepted + rejected + lost), unacked (of the lost:
                               in frames that got no ack; the rest was left out of its frame's ack)
    wire                       counters of frames, bytes, acks, repeated and misplaced actions, reconnects, ...
    verdicts, errors, closes   verdicts by value, `error` messages by code, connections lost by code and reason
    idle_trip_ms               median round trip of a single-event frame before the load
    latency_ms                 ack, ack_from_send, action, action_from_send, verdict, sent_late: each with count, p50,
                               p99, p99_9, max, mean. `ack` and `action` count from when the frame was due (so a
                               stalled guard cannot hide behind a generator that waits for it), `..._from_send` from
                               when it went out. An action counts from the frame of its latest cause, those of a
                               cluster from the latest cause of all; inverses and releases are left out
    p99_idle_trips             p99 of `ack` over `idle_trip_ms`
    actions                    by_kind, by_rule, by_reason (first deliveries), rooms_restricted
    attacks                    by kind of attack: accounts that began, caught (muted, kicked or a message deleted),
                               recall, actions by kind, only_room_restricted (not caught, but their room was
                               restricted), first_action_s_p50 and _p90 (from the account's first event)
    recall                     caught over accounts, all kinds together
    innocents                  users, hit (anyone else who was muted, kicked or had a message deleted), share,
                               hit_in_hype (of the hit: who only cheered along), by_rule, examples (ten names); for a
                               recording, where nobody is labelled, simply users hit
    guard                      cpu_s and cpu_us_per_event of the load, rss_before_mb, rss_after_mb, rss_peak_mb,
                               config (version), exit (code of a guard we started)
    generator                  its own cpu_s and cpu_us_per_event
    seconds                    a list: second, sent and answered (events/s), actions, ack_p50, ack_p99, action_p99
                               (ms), guard_cpu and own_cpu (cores), guard_rss (bytes)
    failures, missed           what went wrong; the thresholds that were not kept
"""
