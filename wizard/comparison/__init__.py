"""Compare the simulator's rules with Zoho, for a volunteer with an account.

`probes.toml` says what is sent and what the simulator answers; it shares no code with the
simulator. A comparison stores nothing, uses a client that was registered only for it, and revokes
the refresh token that it got.
"""
