"""API keys for predictions: only their hashes are kept, in a file that may change while we serve.

Each line is a name and the SHA-256 of a key, as `python -m service key NAME` writes it; `#` begins
a comment. Several lines may share a name: that is how a key is replaced without an outage. Plain
SHA-256 is enough for keys of 256 random bits; it would not be for passwords.

A file that is removed or holds no key admits nobody: to empty it is how all keys are revoked at
once. A file that cannot be read says nothing of who is revoked, so the last keys are admitted for
a bounded time, and then nobody is.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import stat
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from service.console import COMMAND
from service.errors import SettingsError, Unauthorized
from service.watch import Watch, identity

log = logging.getLogger(__name__)

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+([0-9a-fA-F]{64})(?:\s+#.*)?")
_BEARER = re.compile(r"Bearer +([!-~]{1,512})", re.IGNORECASE)

_SETTLE_SECONDS, _MOST_SETTLES = 0.05, 10
"""A file that has changed is read once it stays as it is for so long: it may be half written. One
that is written to all the time is read all the same."""


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
    """The keys of one file, read again when it changes. Safe to use from any thread.

    Args:
        path: The file.
        grace: Seconds for which the last keys are admitted while the file cannot be read.

    Raises:
        SettingsError: It cannot be read, holds no key, or a line is not a name and a hash.
    """

    def __init__(self, path: Path, grace: float) -> None:
        self._path, self._grace = path, grace
        self._seen = identity(path)
        self._keys = _read(path)
        if not self._keys:
            raise SettingsError(
                f"MGEO_API_KEYS_FILE={path} admits nobody: add a line of `{COMMAND} key "
                "NAME`, or unset the variable to admit everybody"
            )
        self._unreadable_since: float | None = None
        self._reason = ""
        self._watch = Watch(self._read_again)

    def name(self, authorization: str) -> str:
        """The name of the key in an `Authorization` header.

        Raises:
            Unauthorized: It holds none, or one that the file does not admit.
        """
        self.look()
        given = _BEARER.fullmatch(authorization.strip())
        if given is None:
            raise Unauthorized("send an API key, as Authorization: Bearer KEY")
        digest = hashlib.sha256(given[1].encode()).digest()
        # Every key is compared, in constant time: the answer's time tells nothing about any.
        found = [key.name for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if not found:
            raise Unauthorized("the API key is not one of this service's")
        return found[0]

    def admitted(self) -> int:
        """How many keys are admitted now."""
        self.look()
        return len(self._keys)

    def unreadable_seconds(self) -> float:
        """How long the file has not been readable; 0 while it is."""
        self.look()
        since = self._unreadable_since
        return 0.0 if since is None else time.monotonic() - since

    def warning(self) -> str | None:
        """What is not as it should be, in a line; None if all is well."""
        self.look()
        if not self._keys:
            return f"no API key is admitted: {self._reason}"
        if self._unreadable_since is None:
            return None
        return f"the last API keys are admitted, for a while: {self._reason}"

    def look(self) -> None:
        """Read the file again if it has changed; see `Watch`."""
        self._watch.look()

    def _read_again(self) -> None:
        # What failed is tried at each look: not every failure is of the file.
        if identity(self._path) == self._seen and self._unreadable_since is None:
            return
        self._seen = _settled(self._path)
        try:
            keys = _read(self._path)
        except _NoFileError as error:
            self._take([], str(error))
        except SettingsError as error:
            self._keep(str(error))
        else:
            self._take(keys, "the file holds no key")

    def _take(self, keys: list[_Key], why_none: str) -> None:
        self._unreadable_since, self._reason = None, why_none
        self._keys = keys
        if keys:
            log.info("API keys read again", extra={"keys": len(keys)})
        else:
            log.error("no API key is admitted any more", extra={"reason": why_none})

    def _keep(self, reason: str) -> None:
        """Go on with the last keys, as long as that is allowed."""
        now = time.monotonic()
        if self._unreadable_since is None:
            self._unreadable_since = now
        left = self._unreadable_since + self._grace - now
        if self._keys and left <= 0:
            self._keys = []
            log.error("no API key is admitted any more", extra={"reason": reason})
        elif self._keys and reason != self._reason:
            log.error(
                "API keys cannot be read; the last ones are admitted for a while",
                extra={"reason": reason, "seconds_left": round(left)},
            )
        self._reason = reason


def _settled(path: Path) -> tuple[int, ...]:
    """The identity of a file that has changed, once it stays the same for a moment."""
    seen = identity(path)
    for _ in range(_MOST_SETTLES):
        time.sleep(_SETTLE_SECONDS)
        before, seen = seen, identity(path)
        if seen == before:
            break
    return seen


class _NoFileError(SettingsError):
    """There is no file."""


def _text(path: Path) -> str:
    what = f"MGEO_API_KEYS_FILE={path}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe might wait for ever
            raise SettingsError(f"{what}: it is not a regular file; name one")
        return path.read_text("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise _NoFileError(
            f"{what}: there is no such file; `{COMMAND} key NAME` writes lines for one"
        ) from None
    except PermissionError:
        raise SettingsError(f"{what}: permission denied; let the service's user read it") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{what}: it is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{what}: it cannot be read: {error.strerror}") from None


def _read(path: Path) -> list[_Key]:
    """The keys of the file.

    Raises:
        _NoFileError: There is none.
        SettingsError: It cannot be read, or a line is not a name and a hash.
    """
    keys = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        given = line.strip()
        if not given or given.startswith("#"):
            continue
        parts = _LINE.fullmatch(given)
        if parts is None:  # the line may hold a key by mistake: it is not repeated
            raise SettingsError(
                f"MGEO_API_KEYS_FILE={path}, line {number}: a name and 64 hexadecimal digits are "
                f"expected; `{COMMAND} key NAME` writes such a line"
            )
        keys.append(_Key(parts[1], bytes.fromhex(parts[2])))
    _warn_of_shared_keys(keys)
    return keys


def _warn_of_shared_keys(keys: list[_Key]) -> None:
    """To revoke one of its names would not revoke a key that has another."""
    names = Counter(digest for _, digest in {(key.name, key.digest) for key in keys})
    for digest, count in names.items():
        if count > 1:
            shared = sorted({key.name for key in keys if key.digest == digest})
            log.warning("one API key has several names", extra={"names": ", ".join(shared)})
