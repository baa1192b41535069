"""Compare the simulator's rules with Zoho, for a volunteer with an account.

`probes.toml` says what is sent and what the simulator answers. The names of the rules are those of
the simulator's table; they share no code. A comparison stores nothing, uses a client that
was registered just for it, and revokes the refresh token that it got.
"""
