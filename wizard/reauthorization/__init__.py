"""Re-authorize many connections, after a password change or when a colleague takes over.

Only the list of connections is stored. The state of each item is derived from its attempts, grants
and destinations, so a crash loses nothing. For each connection: one consent; verification; a
decision if a different account approved; delivery to every destination; revocation of the replaced
refresh token when nothing uses it. Import from the modules.
"""
