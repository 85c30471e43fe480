# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/run-checks is made of."""
