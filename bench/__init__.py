"""The benchmarks that `make bench` runs: side by side, in turns, on one machine.

They are never part of the tests: the speed of a machine says nothing about a program being right.
"""
