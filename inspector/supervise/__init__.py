"""Who watches the station: its starts, its command door, its health page, systemd."""
