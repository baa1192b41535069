"""What `token NAME` and `run NAME -- CMD` may import: a cached token costs little more than Python.

Apart from this package they use `wizard.paths` and `wizard.locks`, which import nothing expensive
at module level. A test has the exact list.
"""
