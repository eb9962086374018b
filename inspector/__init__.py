"""The daemon of a camera station: frames in, a pass or fail for every part out."""

import os

__version__ = "0.1.0"

# onnxruntime's wheels carry a telemetry client that starts with the import: a station tells
# nobody outside the plant anything, so it is off before any module of ours can import it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# cv2 reads this once, when it is loaded. A picture file of a few kilobytes may unfold to a
# billion pixels, and memory that runs out takes the station with it: 134 million are plenty.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(2**27)
