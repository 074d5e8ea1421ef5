# SPDX-License-Identifier: Apache-2.0
"""The one exception for bad input."""


class UserError(Exception):
    """Bad input, told in one line: what is wrong, where, and how to mend it.

    The command line prints the line and exits with 2; a library user can catch it.
    """


class RunStopped(Exception):
    """A run could not go on, told in one line with the last good checkpoint named.

    The command line prints the line and exits with 1.
    """
