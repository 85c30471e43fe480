# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/demo is made of."""
