"""Packages from the npm registry, installed once for all runs of the tests."""

import subprocess
from pathlib import Path

import pytest


def installed(config: pytest.Config, folder: str, package: str) -> Path:
    """Where `package` is installed, with its exact version, in a folder of pytest's cache."""
    place = config.cache.mkdir(folder) if config.cache else Path()
    if not (place / "node_modules").is_dir():
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        command = ["npm", "install", "--prefix", str(place), *quiet, package]
        subprocess.run(command, check=True, timeout=300)
    return place
