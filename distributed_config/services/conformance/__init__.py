"""Services and the definitions that they conform to."""
