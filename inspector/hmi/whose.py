"""Whose an address is: what one machine can have any number of is counted as one."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_address(text: str) -> Address:
    """As a socket names it; an IPv4 address within IPv6 is that. Raises ValueError."""
    found = ipaddress.ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def whose(address: Address) -> bytes:
    """The same for all of an IPv6 /64: whoever has one of its addresses has them all."""
    return address.packed[:8]
