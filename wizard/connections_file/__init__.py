"""Connections as code: a TOML file that says which connections exist, and what differs from it.

`document` reads and checks the file; `plan` compares it with what is stored; `service` makes that
so, except the consents, which `reauthorization` leads through; `export` writes the file for what is
stored. The file contains no secrets. Import from the modules.
"""
