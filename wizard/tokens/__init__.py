"""Access tokens: one refresh for all processes, the request log, and the budgets.

Import from the modules: this package stays cheap to import for commands that only read the store.
"""
