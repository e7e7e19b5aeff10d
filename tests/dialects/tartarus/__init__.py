"""The dialect of Tartarus."""
