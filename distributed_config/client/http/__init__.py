"""HTTP to a server, with nothing but the standard library."""
