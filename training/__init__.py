"""From a product line's labelled images to a bundle an inspector may load."""

import inspector as inspector  # first of all: it turns onnxruntime's telemetry off
