"""Other config servers' APIs."""
