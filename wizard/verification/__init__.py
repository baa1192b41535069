"""Verify what a grant reaches, with live calls. Import from the modules."""
