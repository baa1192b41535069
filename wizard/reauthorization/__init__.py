"""Re-authorization: many connections together, after a password change or a change of people.

It is stored as a list of connections and nothing more. The state of each item is derived from its
attempts, grants and destinations, so a crash at any moment costs nothing. Each goes the same way:
one consent; verified; a decision if another account approved; delivered to every destination; the
replaced refresh token revoked when nothing uses it any more. Import from the modules.
"""
