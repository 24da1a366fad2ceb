"""`python -m rimaging.cli`."""

from rimaging.cli import main

main()
