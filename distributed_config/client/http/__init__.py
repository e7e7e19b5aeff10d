"""HTTP to one server, with nothing but the standard library."""
