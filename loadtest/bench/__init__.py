"""Benchmarks: what an event costs here, beside what it costs others, on one workload in one sitting.

`python -m loadtest.bench whole` sends the same frames to the guard and to yardsticks (`loadtest.bench.yardsticks`),
each in its own process on core 0 with the generator on core 1, runs interleaved, and prints the medians of process CPU
time an event. Figures belong to the machine; the ratios are the result.
"""
