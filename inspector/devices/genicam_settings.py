"""What a station may ask of a GenICam camera."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.strict import Strict

PixelFormat = Literal["Mono8", "BayerRG8", "BayerGB8", "BayerGR8", "BayerBG8", "RGB8", "BGR8"]
_TEXT = r"^[ -~]+$"


class GenicamSettings(Strict):
    """What is named here is set at every opening, and read back; what is not stays as it is in
    the camera, which forgets it when its power goes unless it was stored there.
    """

    kind: Literal["genicam"] = "genicam"
    camera: Annotated[str, StringConstraints(pattern=_TEXT, max_length=128)]
    """Its id, serial number or IP address, as `inspector cameras` lists them."""
    pixel_format: PixelFormat | None = None
    x: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Left edge of the region on the sensor, in pixels; `y` its upper one."""
    y: Annotated[int, Field(ge=0, le=65_535)] | None = None
    width: Annotated[int, Field(ge=16, le=8_192)] | None = None
    height: Annotated[int, Field(ge=16, le=8_192)] | None = None
    exposure_us: Annotated[float, Field(gt=0.0, le=60_000_000.0)] | None = None
    """Also turns the camera's automatic exposure off; without it, an automatic one is refused."""
    gain: Annotated[float, Field(ge=0.0, le=1_000.0)] | None = None
    """In the camera's own unit, mostly dB; turns its automatic gain off."""
    frames_per_s: Annotated[float, Field(gt=0.0, le=10_000.0)] | None = None
    """Of a free-running camera."""
    trigger: Literal["free", "software", "line"] = "free"
    """free: it runs by itself. software: one exposure a part, when the part is there; the only one
    whose time is known for certain. line: a wire to the camera's input exposes, on a rising edge.
    """
    line: Annotated[str, StringConstraints(pattern=_TEXT, max_length=64)] = "Line1"
    """The camera's name for the input, with trigger = "line"."""
    packet_size: Annotated[int, Field(ge=220, le=16_404)] | None = None
    """Bytes of a GigE Vision packet; above 1500 every network device on the way needs it."""
    latency_ms: Annotated[int, Field(ge=0, le=2_000)] = 50
    """The longest way from the exposure's end to the first packet, with trigger free or line: a
    frame counts as exposed this long, and its exposure time, before that packet. Too small, and a
    part may be judged by a picture from before its trigger: ask the camera's manual for its
    readout time.
    """
    open_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    read_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    """Without a frame for so long, and for two frame times, it is stuck; with trigger = "software"
    after its trigger; with "line", where no frame may be due, without an answer.
    """
    reopen_tries: Annotated[int, Field(ge=0, le=1_000)] = 10
    """In a row, with growing pauses up to 10 s; ten take about a minute. Then it is a fault."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.frames_per_s is not None and self.trigger != "free":
            raise ValueError('frames_per_s goes with trigger = "free" only')
        exposure_ms = (self.exposure_us or 0.0) / 1000
        if self.trigger == "software" and exposure_ms >= self.read_timeout_ms:
            raise ValueError("read_timeout_ms must be longer than the exposure")
        return self
