"""The whole product at work in a real browser, against the simulated Zoho: ``make tour``."""
