"""Serve a cached token in little more time than Python's start.

Apart from this package, `token NAME` and `run NAME -- CMD` use only `wizard.paths` and
`wizard.locks`, which import nothing expensive at module level. A test has the exact list.
"""
