"""Who may do what: actors, their visibility, permissions and roles."""
