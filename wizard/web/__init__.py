"""The pages: a face of the house in the person's own browser, on this machine only."""

from wizard.web.app import create_app
from wizard.web.server import Server, serve
from wizard.web.sessions import LinkTokens

__all__ = ["LinkTokens", "Server", "create_app", "serve"]
