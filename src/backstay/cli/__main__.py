"""`python -m backstay.cli`: the same as `backstay`."""

from backstay.cli.main import main

main()
