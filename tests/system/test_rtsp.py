"""A station on a real RTSP stream: a killed server rejects, a new one is found again."""

import signal
from pathlib import Path

from tests.streams import RtspServer, require_rtsp_server
from tests.support import evaluations_in, make_bundle, start_station, until, write_station


def test_a_stream_that_dies_rejects_until_it_is_back(tmp_path: Path) -> None:
    require_rtsp_server()
    server = RtspServer().start()
    camera = {"kind": "opencv", "url": server.url, "latency_ms": 20, "reopen_tries": 100}
    path = write_station(
        tmp_path,
        make_bundle(tmp_path / "bundles"),
        camera=camera,
        trigger={"kind": "interval", "period_ms": 150},
        recipe={"frame_timeout_ms": 140},
    )
    station = start_station(path)

    def evaluations(after: int = 0) -> list[str]:
        return evaluations_in(tmp_path, after)

    def judged(after: int) -> int:
        return sum(each != "UNDEFINED" for each in evaluations(after))

    try:
        assert until(lambda: judged(0) >= 3)
        server.kill()
        killed_at = len(evaluations())
        # what was in flight may still be judged; after that nothing is, until the server is back
        assert until(lambda: evaluations(killed_at)[1:].count("UNDEFINED") >= 3)
        assert judged(killed_at + 1) == 0
        server.start()
        back_at = len(evaluations())
        assert until(lambda: judged(back_at) >= 3, timeout_s=30.0)
        station.send_signal(signal.SIGTERM)
        assert station.wait(timeout=60) == 0
    finally:
        station.kill()
        station.wait()
        server.kill()
