"""Events, and waiting for them: what the server side and the application have in common.

No Flask and no request here, so that the asyncio side and plain WSGI servers use the same code.
Whatever is durable is in ``store``; everything here may be lost with its process.
"""
