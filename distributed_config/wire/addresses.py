"""Networks of IP addresses, for what is limited or shared by address."""

import ipaddress
from functools import lru_cache


# Cached because it runs for every request and connection, mostly with the same few addresses.
@lru_cache(4_096)
def network_of(address: str) -> str:
    """Return what ``address`` is counted as: itself, or its /64 if it is IPv6.

    One customer has at least 2**64 IPv6 addresses. What is no address is returned as it is.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or f"{int(parsed) >> 64:x}::/64")
