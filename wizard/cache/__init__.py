"""Cached access tokens: one encrypted file per connection, replaced atomically.

``Cache`` is looked up on first use, because ``wizard.cache.file`` stands on the short path of
``zoho-wizard token NAME``.
"""

from wizard.cache.file import CLOCK_STEP, FLOOR, still_good

TYPE_CHECKING = False  # what `typing` would say, without importing it
if TYPE_CHECKING:
    from wizard.cache.cache import Cache as Cache

__all__ = ["CLOCK_STEP", "FLOOR", "Cache", "still_good"]


def __getattr__(name: str) -> object:
    if name == "Cache":
        from wizard.cache.cache import Cache

        return Cache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
