"""The health page, asked by who means well and by who does not."""

import logging
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress

import pytest

from inspector.supervise import health
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
        import time

        asked = []
        names = ("socket.gethostbyaddr", "socket.gethostname", "socket.gethostbyname")
        sys.addaudithook(lambda event, _: asked.append(event) if event in names else None)
        from inspector.supervise.health import HealthPage
        from inspector.supervise.settings import MetricsSettings

        page = HealthPage(MetricsSettings(host="0.0.0.0", port=int(sys.argv[1])), lambda: None)
        page.start()
        while page._server is None:
            time.sleep(0.01)
        page.stop()
        print(asked)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(free_port())], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_an_address_that_another_has_keeps_no_station_from_inspecting_and_is_had_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had ended the station with 78, after which systemd does not start it again."""
    monkeypatch.setattr(health, "AGAIN_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other, caplog.at_level(logging.WARNING):
        port = other.getsockname()[1]
        page = HealthPage(MetricsSettings(port=port), no_look)
        page.start()
        assert until(lambda: "Address already in use: it is tried again" in caplog.text)
        assert page.alive()
    try:
        assert until(lambda: status(port) == 404)
        assert len(caplog.records) == 1
    finally:
        page.stop()
    assert until(lambda: not page.alive())
    # of this machine's it is none, as before its network is there
    page = HealthPage(MetricsSettings(host="192.0.2.254", port=port), no_look)
    page.start()
    assert until(lambda: "Cannot assign requested address" in caplog.text)
    page.stop()
    assert until(lambda: not page.alive())


def test_who_sends_a_byte_now_and_then_does_not_keep_others_from_asking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    page = HealthPage(MetricsSettings(port=port), no_look)
    with ExitStack() as opened, caplog.at_level(logging.WARNING):
        page.start()
        opened.callback(page.stop)
        assert until(lambda: status(port) == 404)
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
