"""`make sabotage`: apply each mutation to a copy of the tree, and run the tests that must fail."""

import argparse
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from sabotage.mutations import ROOT, Mutation, read_mutations

NOT_COPIED = (".git", ".venv", ".cache", ".*_cache", ".hypothesis", "__pycache__", "build", "dist")
TIMEOUT_SECONDS = 300
OUTCOMES = {0: "survived", 1: "killed"}
"""Pytest's exit codes. Others mean that no test decided, for example because a file didn't load."""


@dataclass(frozen=True)
class Result:
    """What the tests said about one mutation."""

    id: str
    outcome: str
    """`killed`, `survived`, `timed_out`; `skipped`: this machine lacks what the tests need;
    `broken`: they didn't run."""
    seconds: float
    noticed_by: str | None
    output: str

    @property
    def is_noticed(self) -> bool | None:
        """Whether a test failed; None if none could run here."""
        return None if self.outcome == "skipped" else self.outcome in ("killed", "timed_out")


class Copy:
    """A copy of the tree with a virtual environment of its own, which imports the copy."""

    def __init__(self, place: Path) -> None:
        self.root = place / "tree"
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        venv.create(self.root / ".venv", with_pip=False, symlinks=True)
        self.python = self.root / ".venv" / "bin" / "python"
        packages = sysconfig.get_path("purelib", vars={"base": str(self.root / ".venv")})
        # Not a site directory: the .pth file of our own installation isn't read from there.
        Path(packages, "copy.pth").write_text(f"{self.root}\n{sysconfig.get_path('purelib')}\n")
        # Bytecode is compared by size and whole seconds; a mutation may change neither.
        self._times = itertools.count(1_000_000_000)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        os.utime(path, (now := next(self._times), now))

    def try_out(self, mutation: Mutation) -> Result:
        """Run the tests of one mutation. The file is as before afterward."""
        path = self.root / mutation.path
        text = path.read_text()
        self._write(path, mutation.applied_to(text))
        begun = time.monotonic()
        try:
            code, output = self._run(mutation.tests)
        finally:
            self._write(path, text)
        seen = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        outcome = "timed_out" if code is None else OUTCOMES.get(code, "broken")
        if outcome == "survived" and " passed" not in output:
            outcome = "skipped"
        noticed = seen[0].split()[1] if seen and outcome == "killed" else None
        return Result(mutation.id, outcome, round(time.monotonic() - begun, 1), noticed, output)

    def _run(self, tests: tuple[str, ...]) -> tuple[int | None, str]:
        options = ("-x", "-q", "-p", "no:cacheprovider", "--tb=line", "-m", "slow or not slow")
        process = subprocess.Popen(
            [self.python, "-m", "pytest", *options, *tests],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, process.communicate()[0]
        return process.returncode, output


def try_all(mutations: list[Mutation], copies: int) -> list[Result]:
    """Try the mutations out on several copies at once. Prints one line each."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as place:
        free: queue.Queue[Copy] = queue.Queue()
        for number in range(min(copies, len(mutations))):
            free.put(Copy(Path(place, str(number))))

        def one(mutation: Mutation) -> Result:
            copy = free.get()
            try:
                result = copy.try_out(mutation)
            finally:
                free.put(copy)
            mark = {True: "✓", False: "✗", None: "–"}[result.is_noticed]
            line = f"{mark} {result.outcome:9} {result.seconds:6.1f} s  {result.id}\n"
            sys.stdout.write(line)
            sys.stdout.flush()
            return result

        with ThreadPoolExecutor(copies) as pool:
            return list(pool.map(one, mutations))


def main() -> None:
    """Try the chosen mutations out, print the score and the survivors, write the results."""
    parser = argparse.ArgumentParser(prog="sabotage", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", nargs="+", default=["*"], help="IDs or paths")
    parser.add_argument("--copies", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "sabotage.json")
    chosen = parser.parse_args()
    mutations = [
        each
        for each in read_mutations()
        if any(fnmatch(each.id, one) or fnmatch(each.path, one) for one in chosen.only)
    ]
    if not mutations:
        sys.exit(f"No mutation matches {' '.join(chosen.only)}.")
    results = try_all(mutations, chosen.copies)
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")
    decided = [each for each in results if each.is_noticed is not None]
    unnoticed = {each.id for each in decided if not each.is_noticed}
    noticed, share = len(decided) - len(unnoticed), 1 - len(unnoticed) / max(len(decided), 1)
    sys.stdout.write(f"\n{noticed} of {len(decided)} noticed ({share:.0%})\n")
    for each in mutations:
        if each.id in unnoticed:
            sys.stdout.write(f"  {each.id} ({each.path}): {each.claim}\n")
    sys.exit(bool(unnoticed))


main()
