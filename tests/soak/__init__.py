"""Simulated months of use, with outages, kills, password changes and re-authorizations."""
