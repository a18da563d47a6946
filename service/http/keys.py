"""API keys for predictions: only their hashes are kept, in a file that may change while we serve.

Each line is a name and the SHA-256 of a key, as `python -m service key NAME` writes it. Several
lines may share a name: that is how a key is replaced without an outage. Plain SHA-256 is enough for
keys of 256 random bits; it would not be for passwords.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from service.errors import SettingsError, Unauthorized

log = logging.getLogger(__name__)

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+([0-9a-f]{64})")
_BEARER = re.compile(r"Bearer +([!-~]{1,512})", re.IGNORECASE)

_LOOK_SECONDS = 1.0
"""A change of the file is noticed this soon."""


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    digest: bytes


def make(name: str) -> tuple[str, str]:
    """A new key, and the line of the file that admits it.

    Raises:
        SettingsError: The name cannot be one.
    """
    key = secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.fullmatch(line):
        raise SettingsError(f"{name!r} cannot name a key: use 1 to 64 letters, digits, . _ and -")
    return key, line


class Keys:
    """The keys of one file, read again when it changes.

    A file that has become unreadable or wrong changes nothing: an error in it must neither lock
    everybody out nor let everybody in. The log says so each time.

    Args:
        path: The file.

    Raises:
        SettingsError: It cannot be read, or a line is not a name and a hash.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen = _identity(path)
        self._keys = _read(path)
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def name(self, authorization: str) -> str:
        """The name of the key in an `Authorization` header.

        Raises:
            Unauthorized: It holds none, or one that the file does not admit.
        """
        self._look()
        given = _BEARER.fullmatch(authorization.strip())
        if given is None:
            raise Unauthorized("send an API key, as Authorization: Bearer KEY")
        digest = hashlib.sha256(given[1].encode()).digest()
        # Every key is compared, in constant time: the answer's time tells nothing about any.
        found = [key.name for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if not found:
            raise Unauthorized("the API key is not one of this service's")
        return found[0]

    def _look(self) -> None:
        if time.monotonic() < self._look_at or not self._lock.acquire(blocking=False):
            return
        try:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            seen = _identity(self._path)
            if seen == self._seen:
                return
            self._seen = seen
            self._keys = _read(self._path)
            log.info("API keys read again", extra={"keys": len(self._keys)})
        except SettingsError as error:
            log.error("API keys stay as they were", extra={"reason": str(error)})
        finally:
            self._lock.release()


def _identity(path: Path) -> tuple[int, ...]:
    """Changes when the file does, also when another is put in its place."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> list[_Key]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"MGEO_API_KEYS_FILE={path}: {reason}") from None
    keys = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None:  # the line may hold a key by mistake: it is not repeated
            raise SettingsError(
                f"MGEO_API_KEYS_FILE={path}, line {number}: a name and 64 hexadecimal digits are "
                "expected; `python -m service key NAME` writes such a line"
            )
        keys.append(_Key(parts[1], bytes.fromhex(parts[2])))
    if not keys:
        raise SettingsError(
            f"MGEO_API_KEYS_FILE={path} admits nobody: add a line of `python -m service key NAME`, "
            "or unset the variable to admit everybody"
        )
    return keys
