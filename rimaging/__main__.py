"""`python -m rimaging`."""

from rimaging.cli import main

main()
