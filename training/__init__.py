"""From a product line's labelled images to a bundle an inspector may load."""

import os

import inspector as inspector  # first of all: it turns onnxruntime's telemetry off

# albumentations asks a server for a newer version at every import; a plant has no way out.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
