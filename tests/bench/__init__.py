"""What people wait for, measured as ratios within one run: ``make bench``.

One file a measure. A machine's milliseconds say little about another's; a ratio to something that
everybody has (a bare Python, the upstream's own latency) says more, and survives a busy machine.
"""
