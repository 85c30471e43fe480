# SPDX-License-Identifier: BSD-2-Clause
"""What guest-tool fills memory with: words that say seed and place."""

import array


def stream_words(seed, size):
    first = seed << 48
    return array.array("Q", range(first, first + size // 8)).tobytes()
