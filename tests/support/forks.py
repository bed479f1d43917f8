"""What a forked child says."""

import contextlib
import os
import warnings


def forked(child):
    """Return what a function says in a forked child: 0 for true."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        pid = os.fork()
    if pid == 0:
        outcome = 9
        with contextlib.suppress(BaseException):
            outcome = 0 if child() else 1
        os._exit(outcome)
    return os.waitpid(pid, 0)[1]
