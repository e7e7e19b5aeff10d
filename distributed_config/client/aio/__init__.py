"""The client for asyncio: the same calls and configurations, made by threads and awaited."""
