"""Where a host is."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether it is this machine for sure; a name other than localhost is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
