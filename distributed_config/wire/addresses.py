"""Whom an address belongs to, for what is counted or shared by address."""

import ipaddress
from functools import lru_cache


@lru_cache(4_096)
def network_of(address: str) -> str:
    """The network that ``address`` stands for: of IPv6, one customer has at least 2**64 of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or f"{int(found) >> 64:x}::/64")
