"""Everything that can go wrong on purpose, in one tree.

InspectorError
  ConfigError     what a person wrote cannot work: file, key, allowed values; exit code 78
  DataError       the images cannot be trained on: file and reason; exit code 65
  TrainingError   the run diverged: no bundle; exit code 4
  QualityGateError  the model misses the plan's goal: no bundle; exit code 3
  BundleError     candidate refused; the running bundle stays
  ModelError      the model failed on a part: that part is UNDEFINED
  DeviceError     camera, trigger or line signal is gone: FAULT
    DeviceTimeout   nothing came in time: that part is UNDEFINED
    FrameError      a frame came that cannot be read: that part is UNDEFINED
    EndOfStream     a finite source has shown its last frame: the station drains and ends
  RecordError     the journal cannot store: nothing may pass
    InUseError      another process writes it, or has the state folder
  StateError      the command is not allowed now; answered to whoever sent it
  CommandError    what came is no command, or no trigger: refused, answered to whoever sent it

A part we cannot judge is a value (UNDEFINED with a reason), the world broken is one of these,
and anything else means that we are broken: the process ends and is restarted.
"""

from typing import Literal


class InspectorError(Exception):
    """Root of the tree: its text is written for the person on shift."""


class ConfigError(InspectorError):
    """What a person wrote cannot work."""


class DataError(InspectorError):
    """The images or labels cannot be trained on."""


class TrainingError(InspectorError):
    """The training run cannot go on."""


class QualityGateError(InspectorError):
    """The trained model misses the plan's goal, so no bundle is written."""


class BundleError(InspectorError):
    """A bundle is damaged, incomplete, or not what it says."""


class ModelError(InspectorError):
    """The model failed on a part."""


class DeviceError(InspectorError):
    """An outside thing is gone."""


class DeviceTimeout(DeviceError):  # noqa: N818 - a timeout is the word, not TimeoutError's twin
    """Nothing came in time; the device may be well."""


class FrameError(DeviceError):
    """A frame came that cannot be judged by; `name` is its file's, where it came from one."""

    def __init__(
        self,
        text: str,
        name: str | None = None,
        cause: Literal["unreadable", "stale", "frozen"] = "unreadable",
    ) -> None:
        super().__init__(text)
        self.name = name
        self.cause = cause


class EndOfStream(DeviceError):  # noqa: N818 - an end, not an error
    """A finite source has shown its last frame."""


class RecordError(InspectorError):
    """The journal cannot store: nothing may pass."""


class InUseError(RecordError):
    """Another process writes the journal, or a consumer's file, or has the state folder."""

    def __init__(self, text: str, process: str) -> None:
        super().__init__(text)
        self.process = process
        """Its id, or "unknown"."""


class StateError(InspectorError):
    """The command is not allowed in this state."""


class CommandError(InspectorError):
    """What came is no command."""
