"""Cached access tokens: one encrypted file per connection, replaced atomically.

``TokenCache`` is looked up on first use, because ``wizard.fastpath.token_file`` is imported by
``zoho-wizard token NAME``, which must import as little as possible.
"""

from wizard.fastpath.token_file import CLOCK_TOLERANCE_SECONDS, MIN_TTL_SECONDS, is_fresh

TYPE_CHECKING = False  # what `typing` would say, without importing it
if TYPE_CHECKING:
    from wizard.fastpath.token_cache import TokenCache as TokenCache

__all__ = ["CLOCK_TOLERANCE_SECONDS", "MIN_TTL_SECONDS", "TokenCache", "is_fresh"]


def __getattr__(name: str) -> object:
    if name == "TokenCache":
        from wizard.fastpath.token_cache import TokenCache

        return TokenCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
