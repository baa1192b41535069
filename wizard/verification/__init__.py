"""Verify what a grant reaches, with live calls.

The steps: the refresh works; the account; the organization; one cheap read per product; scopes
granted against scopes asked for; the clock. Import from the modules.
"""
