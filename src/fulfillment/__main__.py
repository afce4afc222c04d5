"""Run the command line as a module: python -m fulfillment."""

from fulfillment.cli.main import main

main()
