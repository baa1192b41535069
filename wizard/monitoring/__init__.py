"""Check many connections, find what fails together, and notify someone once per cause.

Import from the modules.
"""
