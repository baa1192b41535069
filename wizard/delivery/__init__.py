"""Delivery: write a connection's credentials where the programs that use them read them.

A destination is described once, previewed before the first write, and from then on gets the current
grant. *Delivered* (written and read back) and *in use* (the reload command succeeded) are two
states. The previous version is kept, sealed in the store, for an undo.

There are four file formats, and commands that take the credentials on stdin. Everything else about
a program is a profile, a row of data. Import from the modules.
"""
