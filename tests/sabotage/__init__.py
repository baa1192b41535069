"""Mutations of the product's defenses, and what runs the tests that must notice each of them."""
