"""The pages, in the user's own browser, on this machine only. Import from the modules."""
