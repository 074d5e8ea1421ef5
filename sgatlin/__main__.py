# SPDX-License-Identifier: Apache-2.0
"""`python -m sgatlin` is the command `sgatlin`."""

from sgatlin.cli import main

if __name__ == "__main__":
    main()
