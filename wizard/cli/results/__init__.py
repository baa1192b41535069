"""What each command prints with ``--json``: one dataclass per result; its fields are the JSON keys.

Times are UTC in ISO 8601 with their offset, enumerations are their codes, and a list stays a list
whatever it holds. The modules follow the sections of the help; `commands` says which command has
which result. The JSON Schemas in ``wizard/schemas`` are generated from these types by ``make
schemas``. Import from the modules.
"""
