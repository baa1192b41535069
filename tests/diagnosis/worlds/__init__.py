"""Worlds in which something has gone wrong, each with the true cause: what a diagnosis is held to.

Every cause is made to happen in the simulated Zoho; nothing hands the judge a verdict. Where a
program met it that is not the wizard, its request and the answer are pasted.
"""

from worlds import calls, clients, codes, deaths, tokens
from worlds.world import World, told_of

__all__ = ["WORLDS", "World", "told_of"]

WORLDS = (*deaths.WORLDS, *tokens.WORLDS, *clients.WORLDS, *codes.WORLDS, *calls.WORLDS)
"""Where `decided` is False nothing that anybody could see decides."""
