"""One outside thing per file: cameras and triggers."""
