"""Fuzzing: what comes from outside is made up and damaged, and what must hold of it is checked.

A target is a kind of input and a check that holds for every one of them. `make test` runs each for
a few seconds, the same in each run; `make fuzz` runs on, elsewhere each time, and keeps what it
finds in `corpus/`, all of which is a test from then on.
"""
