"""The dialect of Unified Config."""
