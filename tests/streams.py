"""Real streams on loopback, to be started, stalled, killed and started again by a test."""

import socket
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pytest

from inspector.contract.image import Image
from tests.support import GREY, free_port, picture

FRAMES_PER_S = 25
CATCH_UP_S = 0.004  # between frames that were kept back

# Debian's gst-rtsp-server has bindings for Debian's python only, so it runs there.
_RTSP_SERVER = """
import sys
import threading
import time
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
frames_per_s = int(sys.argv[2])


def picture():
    bits = [int(bit) for bit in f"{int(time.monotonic() * 1000):040b}"]
    blocks = [bytes([88 + 80 * bit]) * 24 for bit in bits]
    return b"".join(b"".join(blocks[i : i + 8]) * 8 for i in range(0, 40, 8))


def expose(source):
    due = time.monotonic()
    while source.emit("push-buffer", Gst.Buffer.new_wrapped(picture())) == Gst.FlowReturn.OK:
        due += 1 / frames_per_s
        time.sleep(max(0, due - time.monotonic()))


def begin(factory, media):
    source = media.get_element().get_by_name("source")
    threading.Thread(target=expose, args=(source,), daemon=True).start()


server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( appsrc name=source is-live=true do-timestamp=true format=time"
    f" caps=video/x-raw,format=BGR,width=64,height=40,framerate={frames_per_s}/1"
    " ! videoconvert ! video/x-raw,format=I420"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 pass=quant quantizer=10"
    " ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
factory.set_shared(True)
factory.connect("media-configure", begin)
server.get_mount_points().add_factory("/part", factory)
server.attach(None)
GLib.MainLoop().run()
"""


class RtspServer:
    """gst-rtsp-server in a process of its own: H.264, each frame shows its time."""

    def __init__(self, frames_per_s: int = FRAMES_PER_S) -> None:
        self._frames_per_s = frames_per_s
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/part"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        numbers = [str(self.port), str(self._frames_per_s)]
        command = ["/usr/bin/python3", "-c", _RTSP_SERVER, *numbers]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        _wait_for(self.port)
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class MjpegServer:
    """Motion JPEG over HTTP, as simple network cameras give it; each frame shows its time."""

    def __init__(self, stored: int = 0) -> None:
        """stored: frames, each a second older than the last, that a newcomer gets at once."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/stream.mjpg"
        self.stalled = threading.Event()
        """While set, connections stay open and nothing comes."""
        self.held = threading.Event()
        """While set, frames are exposed but kept back; then they come all at once."""
        self.part = threading.Event()
        """While set, a bright part covers the middle of every frame, and its time with it."""
        self._stored = stored
        self._server: ThreadingHTTPServer | None = None
        self._ended = threading.Event()

    def start(self) -> Self:
        self._ended = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with suppress(OSError):  # the camera under test has gone
                    camera.serve(self.wfile)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def serve(self, out: BufferedIOBase) -> None:
        ended = self._ended
        now = time.monotonic()
        waiting = [_jpeg_of_clock(now - self._stored + i) for i in range(self._stored)]
        while not ended.is_set():
            if self.stalled.is_set():
                time.sleep(0.01)
                continue
            waiting.append(_jpeg_of_clock(time.monotonic(), part=self.part.is_set()))
            while waiting and not self.held.is_set():
                out.write(waiting.pop(0))
                time.sleep(CATCH_UP_S if waiting else 1 / FRAMES_PER_S)
            if self.held.is_set():
                time.sleep(1 / FRAMES_PER_S)

    def kill(self) -> None:
        self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def clock_in(image: Image) -> float:
    """The time.monotonic() at which a server here exposed this frame, to the millisecond."""
    blocks = image[4::8, 4::8, 1].ravel() > GREY
    return int("".join("1" if bit else "0" for bit in blocks), 2) / 1000


def _jpeg_of_clock(now: float, *, part: bool = False) -> bytes:
    """A grey picture of 8 x 5 blocks, a little darker or brighter: the milliseconds in binary."""
    bits = [int(bit) for bit in f"{int(now * 1000):040b}"]
    blocks = np.array(bits, np.uint8).reshape(5, 8) * 40 + (GREY - 20)
    image = np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)
    if part:
        image[8:32, 16:48] = 250
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {jpeg.size}\r\n\r\n"
    return head.encode() + jpeg.tobytes() + b"\r\n"


def require_rtsp_server() -> None:
    """Skip where Debian's packages are not there."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    found = (
        Path("/usr/bin/python3").exists()
        and not subprocess.run(
            ["/usr/bin/python3", "-c", probe], capture_output=True, check=False
        ).returncode
    )
    if not found:
        pytest.skip("needs the Debian packages gir1.2-gst-rtsp-server-1.0 and python3-gi")


def write_video(path: Path, frames: int = 10) -> Path:
    """A short motion JPEG film."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (48, 40))
    for seed in range(frames):
        writer.write(picture(128, seed=seed))
    writer.release()
    return path


def _wait_for(port: int) -> None:
    end = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
