"""Waiting times, measured as ratios within one run: ``make bench``.

One file per measure. Milliseconds depend on the machine; a ratio to something available everywhere
(a bare Python, the upstream's latency) depends on it less, also under load.
"""
