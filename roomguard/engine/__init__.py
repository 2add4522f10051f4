"""One room's mind: text, windows, features, rules, strategy. Pure: no clock, no socket, no randomness."""
