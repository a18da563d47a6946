"""How many descriptors this process may have: each open connection and each open file takes one."""

from __future__ import annotations

import contextlib
import logging
import resource

log = logging.getLogger(__name__)

_OTHERS = 256
"""Descriptors of everything but connections: models, libraries, a GPU's driver, exporters."""


def make_room(connections: int) -> None:
    """Raise the limit of open files to what the connections need; warn if that is not allowed.

    Args:
        connections: Most connections at once.
    """
    needed = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(soft, needed):
        return
    # No more than needed: code in this process that uses select(2) fails on high numbers.
    wanted = needed if _allows(hard, needed) else hard
    with contextlib.suppress(OSError, ValueError):  # a system may have a limit beside this one
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not _allows(soft, needed):
        log.warning(
            "too few files may be open for all connections: raise `ulimit -n`, or lower "
            "MGEO_MAX_CONNECTIONS",
            extra={"limit": soft, "needed": needed},
        )


def _allows(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
