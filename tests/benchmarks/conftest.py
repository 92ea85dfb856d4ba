"""`benchmarks` is a program of this repository and no part of the package: it is found at the root, not installed."""

import sys

from toolbox import ROOT

sys.path.append(str(ROOT))
