"""Pictures of the pages, as the README shows them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Page

COLOR_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


class Screenshots:
    """Takes each page in light and in dark; without a `directory` it takes nothing."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def take(self, page: "Page", name: str) -> None:
        """Write ``<name>-light.png`` and ``<name>-dark.png``."""
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        for scheme in COLOR_SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=self._directory / f"{name}-{scheme}.png", animations="disabled")
        page.emulate_media(color_scheme=None)
