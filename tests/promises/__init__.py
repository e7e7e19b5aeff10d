"""The promises, held by real processes."""
