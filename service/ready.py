"""`ready`: asks the service on this machine whether it takes predictions.

It is the health command of containers. So it imports little, and its arguments have no blanks: some
container engines split them there.
"""

from __future__ import annotations

import http.client
import json

from service.errors import SettingsError
from service.settings import Settings

_SECONDS = 3.0
"""Time to wait for the answer. Dockerfile and docker-compose.yml end the command after 5."""

_EVERY_ADDRESS = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Hosts that mean every address of the machine, and the address to ask instead."""


def ask(settings: Settings) -> tuple[bool, str]:
    """Whether the operations listener that has these settings says that it is ready, and one line.

    Raises:
        SettingsError: The settings do not say which port it has.
    """
    if not settings.metrics_port:
        raise SettingsError(
            "MGEO_METRICS_PORT=0 lets the system choose: give the port that the service's log "
            "names, with --metrics-port"
        )
    host = _EVERY_ADDRESS.get(settings.metrics_host, settings.metrics_host)
    # By http.client, which asks no proxy, whatever HTTP_PROXY says.
    connection = http.client.HTTPConnection(host, settings.metrics_port, timeout=_SECONDS)
    where = f"{f'[{host}]' if ':' in host else host}:{settings.metrics_port}"
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        answer = connection.getresponse()
        report = json.loads(answer.read(65_536))
        message = str(report["status"])
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return False, (
            f"no answer from {where}: {reason}; does the service run, with this MGEO_METRICS_HOST "
            "and this MGEO_METRICS_PORT?"
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return False, f"{where} is not this service: choose its port with MGEO_METRICS_PORT"
    finally:
        connection.close()
    if "stage" in report:
        message += f": {report['stage']}, {report.get('progress', 0):.0%}"
    if "warning" in report:
        message += f"; {report['warning']}"
    return answer.status == http.client.OK, message
