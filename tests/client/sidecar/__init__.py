"""The sidecar."""
