# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/bench is made of: works.py first, then harness.py."""
