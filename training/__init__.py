"""From a product line's labelled images to a bundle an inspector may load."""

import os

import inspector as inspector  # first of all: it turns onnxruntime's telemetry off

# albumentations asks a server for a newer version at every import; a plant has no way out.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

# Threads that wait for one another sleep; by default they spin, and on a busy machine take the core
# from the one they wait for (two cores at load 9, two threads: 10 to 16 images/s spinning, 51 to 65
# sleeping). Read once, when torch loads its libgomp.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
