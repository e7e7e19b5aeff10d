"""The asyncio side."""
