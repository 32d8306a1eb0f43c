"""What every test shares."""

from __future__ import annotations

import os

# Test processes run side by side; two threads each on two cores collapse.
os.environ.setdefault("OMP_NUM_THREADS", "1")
