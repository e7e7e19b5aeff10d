"""What every Flask room shares: routes, requests, responses, and the hooks around them.

It knows HTTP and how a request becomes a call of a verb, and nothing of any one resource. Only
``problems`` chooses status numbers.
"""
