"""Run the command line with a clock read from a file.

Usage: `python cli_launcher.py CLOCK_FILE ARGUMENT…`. The wizard has no test mode; its clock is an
argument, which is the simulated Zoho's here.
"""

import sys
from pathlib import Path

from wizard import cli
from wizard.simulator.settings import FileClock

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[2:], FileClock(Path(sys.argv[1]))))
