"""Check many connections, group failures by cause, and send one notification for each new cause.

Import from the modules.
"""
