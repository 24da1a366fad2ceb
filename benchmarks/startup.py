"""CPU seconds of `import rimaging` and `rimaging --help`, against their limits.

CPU time of the child process, Python's own start included; the median of five after one
unmeasured start that compiles the bytecode. Exits with 1 where a limit is passed.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

REPEATS = 5
HELP = "import sys; sys.argv = ['rimaging', '--help']; from rimaging.cli import main; main()"
CASES = (("import rimaging", "import rimaging", 0.2), ("rimaging --help", HELP, 0.5))


def cpu_seconds(statement: str) -> float:
    """User and system seconds of a fresh interpreter that runs one statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print the table; 1 where a limit is passed."""
    print("| command | CPU seconds | limit |")
    print("|---|---|---|")
    passed = True
    for name, statement, limit in CASES:
        cpu_seconds(statement)
        seconds = statistics.median(cpu_seconds(statement) for _ in range(REPEATS))
        passed &= seconds <= limit
        print(f"| `{name}` | {seconds:.2f} | {limit:.2f} |")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
