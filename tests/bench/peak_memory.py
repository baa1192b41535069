"""Run a command and print its peak memory in KiB: `python peak_memory.py COMMAND…`.

This is a small process of its own because a child's peak starts at its parent's size.
"""

import resource
import signal
import subprocess
import sys

if __name__ == "__main__":
    process = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    process.wait()
    unit = 1024 if sys.platform == "darwin" else 1
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // unit))
