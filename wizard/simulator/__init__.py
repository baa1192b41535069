"""Zoho, simulated: a Zoho you can be rude to.

A web server on loopback that answers as Zoho Accounts, the API console and seventeen product APIs
answer, limits and quirks included, for eleven data centres at once. It shares no code with
the wizard. `wizard.simulator.server.Simulator` runs one in this process; the pytest fixture
`zoho_simulator` hands one to a test; `zoho-wizard simulator` runs one in a terminal.

This face stays empty on purpose: pytest imports the package in every run of everyone who has it
installed, and must not pay for Flask.
"""
