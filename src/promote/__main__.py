"""``python -m promote``."""

from promote.cli.main import main

main()
