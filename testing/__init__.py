"""The public test kit for people who write or embed extensions.

clock        `ManualClock`, a clock for timers that a test moves
drawn_types  Hypothesis strategies for types; these three need the extra `testing`
values       for values of a type, arguments of a signature, and wrong ones
texts        for texts that a pattern describes
"""
