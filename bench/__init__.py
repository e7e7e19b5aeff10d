"""What `make bench` runs: measurements side by side, in turns, on one machine.

It is never part of the tests: how fast a machine is says nothing about whether a program is right.
"""
