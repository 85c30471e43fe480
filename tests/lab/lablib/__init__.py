# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the lab are made of; README.md has the map."""
