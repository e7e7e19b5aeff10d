"""What is installed and deployed."""
