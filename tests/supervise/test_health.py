"""The health page, asked by who means well and by who does not."""

import logging
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress

import pytest

from inspector.supervise.health import REQUESTS_MAX, HealthPage
from inspector.supervise.settings import MetricsSettings
from inspector.supervise.vitals import Vitals
from tests.support import free_port, until


def no_look() -> Vitals:
    raise AssertionError("nobody asks for it here")


def status(port: int) -> int | None:
    """Of a page that is not there: the answer needs no station. None where there was none."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5.0).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None
    raise AssertionError("there is no such page")


def test_no_name_server_is_asked_at_the_start() -> None:
    """One that is away took ten seconds and more to say so, and no part was inspected meanwhile."""
    code = """if True:
        import sys

        asked = []
        names = ("socket.gethostbyaddr", "socket.gethostname", "socket.gethostbyname")
        sys.addaudithook(lambda event, _: asked.append(event) if event in names else None)
        from inspector.supervise.health import HealthPage
        from inspector.supervise.settings import MetricsSettings

        page = HealthPage(MetricsSettings(host="0.0.0.0", port=int(sys.argv[1])), lambda: None)
        page.start()
        page.stop()
        print(asked)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(free_port())], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_who_sends_a_byte_now_and_then_does_not_keep_others_from_asking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    page = HealthPage(MetricsSettings(port=port), no_look)
    with ExitStack() as opened, caplog.at_level(logging.WARNING):
        page.start()
        opened.callback(page.stop)
        slow = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(REQUESTS_MAX)
        ]

        def answered() -> bool:
            for each in slow:
                with suppress(OSError):
                    each.send(b"G")
            return status(port) == 404

        assert not answered()
        assert until(answered, timeout_s=60.0)
    assert not caplog.records, "anybody could fill the log so"
