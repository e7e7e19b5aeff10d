"""Files kept as services say, beside an application."""
