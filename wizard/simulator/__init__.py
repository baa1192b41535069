"""A simulated Zoho for demos and tests.

A web server on loopback that behaves like Zoho Accounts, the API console and seventeen product
APIs, with their limits and quirks, for eleven data centers. It shares no code with the wizard.
`wizard.simulator.server.Simulator` runs one in this process, the pytest fixture `zoho_simulator`
gives one to a test, and `zoho-wizard simulator` runs one in a terminal.

This module imports nothing: pytest loads the package's plugin and must not load Flask with it.
"""
