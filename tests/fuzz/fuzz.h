/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz targets: one function, with libFuzzer's name, that takes any bytes.
 *
 * Each target builds in two ways. With fuzz_main.c beside it, by any compiler:
 * it replays files, or runs a number of random inputs from a seed, which is what
 * the tests do. With clang's -fsanitize=fuzzer (the targets *_libfuzzer, not
 * built by default) for long hunts that are led by coverage.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The input, taken from its beginning; zeros after its end. */
struct fuzz_input {
	const uint8_t *bytes;
	size_t len;
};

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
	if (!input->len)
		return 0;
	input->len--;
	return *input->bytes++;
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < sizeof(value); i++)
		value = value << 8 | fuzz_u8(input);
	return value;
}

/* The next bytes, as many as there are of max, into out. */
static inline size_t fuzz_take(struct fuzz_input *input, uint8_t *out, size_t max)
{
	size_t len = input->len < max ? input->len : max;

	if (len)
		memcpy(out, input->bytes, len);
	input->bytes += len;
	input->len -= len;
	return len;
}
