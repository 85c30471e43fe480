# SPDX-License-Identifier: BSD-2-Clause
"""What end-to-end tests are made of; see README.md beside it."""
