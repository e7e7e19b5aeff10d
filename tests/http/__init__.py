"""What every Flask room shares."""
