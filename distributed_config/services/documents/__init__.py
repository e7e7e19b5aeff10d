"""Documents of series: which one is current, and how a stored one is loaded, verified and shown.

``series`` names a series, ``current`` holds the rule of what is current, ``stored`` verifies a
digest, ``load`` reads documents for a viewer, and ``preconditions`` are what writes may expect.
"""
