"""What decides: no device, no file, no network, no clock of its own."""
