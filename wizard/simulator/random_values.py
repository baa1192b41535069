"""Random IDs, secrets and tokens in Zoho's formats, the same ones for the same seed."""

import random
import string
from typing import Any


class RandomValues:
    """A seeded source of everything random in a world.

    It's reproducible on purpose: nothing it makes protects anything real.
    """

    def __init__(self, random_seed: int) -> None:
        self._random = random.Random(random_seed)  # noqa: S311

    def token(self) -> str:
        """Return a code, access or refresh token: `1000.<32 hex>.<32 hex>`."""
        return f"1000.{self.hexadecimal(32)}.{self.hexadecimal(32)}"

    def client_id(self) -> str:
        """Return `1000.` and thirty upper-case letters and digits."""
        return "1000." + "".join(self._random.choices(string.ascii_uppercase + string.digits, k=30))

    def client_secret(self) -> str:
        """Return 42 lower-case hexadecimal digits."""
        return self.hexadecimal(42)

    def hexadecimal(self, length: int) -> str:
        """Return `length` lower-case hexadecimal digits."""
        return f"{self._random.getrandbits(4 * length):0{length}x}"

    def number(self, digits: int) -> int:
        """Return a number of exactly that many digits."""
        return self._random.randrange(10 ** (digits - 1), 10**digits)

    def letters(self, length: int) -> str:
        """Return `length` capital letters and digits that aren't easily confused."""
        return "".join(self._random.choices("ABCDEFGHJKLMNPRTUVWXY346789", k=length))

    def state(self) -> list[Any]:
        """Return the state of the generator, as JSON values."""
        version, numbers, gauss = self._random.getstate()
        return [version, list(numbers), gauss]

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned."""
        version, numbers, gauss = state
        self._random.setstate((version, tuple(numbers), gauss))
