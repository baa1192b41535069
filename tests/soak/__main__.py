"""`make soak`: run simulated months and print the figures."""

import argparse
import logging
import os
import sys

from soak.months import soak

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


def main() -> None:
    """Run it; fail if something happened that must not happen."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--days", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    logging.getLogger("waitress").setLevel(logging.CRITICAL)  # responses are cut on purpose
    figures = soak(chosen.days, chosen.seed)
    sys.stdout.write("\n".join(figures.lines()) + "\n")
    sys.exit(bool(figures.failures))


main()
