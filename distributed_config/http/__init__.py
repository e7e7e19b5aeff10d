"""What every Flask room shares: the database handle, doors, answers, errors, guards and logs."""
