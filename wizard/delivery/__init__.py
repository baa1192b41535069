"""Write a connection's credentials where other programs read them.

A destination is described once, previewed before the first write, and then gets each new current
grant. It is *delivered* when it was written and read back, and *in use* when its reload command
succeeded. The previous version is kept, encrypted, for an undo.

There are four file formats, and commands that take the credentials on stdin. A profile in
`profiles.toml` has the rest about a program. Import from the modules.
"""
