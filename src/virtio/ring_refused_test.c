/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings that cannot be made: a front-end's sizes, addresses and bases. */
#include "ring_test_rig.h"

#include <errno.h>
#include <string.h>

static const char outside[] = "is not inside one memory region";
static const char misaligned[] = "is not a multiple of";

static void refused(struct ring_config config, const char *why)
{
	struct gw_error err = { 0 };
	struct ring *ring = NULL;

	assert_int_equal(ring_create(&config, &ring, &err), -EINVAL);
	assert_non_null(strstr(err.text, why));
	assert_null(ring);
}

static void ring_sizes_that_are_refused(void **state)
{
	static const uint32_t sizes[] = { 0,         3, 100, RING_SIZE_MAX + 1, 2 * RING_SIZE_MAX,
					  UINT32_MAX };
	struct rig *rig = *state;
	struct ring_config config = mock_driver_config(&rig->driver);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		config.size = sizes[i];
		refused(config, "powers of two up to");
	}
}

static void ring_addresses_that_are_refused(void **state)
{
	struct rig *rig = *state;
	const struct ring_config fine = mock_driver_config(&rig->driver);
	uint64_t end = MOCK_USER_OFFSET + RIG_END;
	struct ring_config config;

	config = fine;
	config.desc_addr = MOCK_USER_OFFSET + RIG_END + 4096; /* unmapped */
	refused(config, outside);
	config.desc_addr = end - 16 * RIG_RING_SIZE + 16; /* half */
	refused(config, outside);
	config.desc_addr = UINT64_MAX - 15; /* wraps */
	refused(config, outside);
	config.desc_addr = fine.desc_addr + 8; /* misaligned */
	refused(config, misaligned);
	config = fine;
	config.avail_addr = fine.avail_addr + 1;
	refused(config, misaligned);
	config = fine;
	config.used_addr = fine.used_addr + 2;
	refused(config, misaligned);
}

/* The event indices behind the rings count, if and only if they were negotiated. */
static void ring_tail_beyond_the_region(void **state)
{
	struct rig *rig = *state;
	struct ring_config config = mock_driver_config(&rig->driver);

	config.avail_addr = MOCK_USER_OFFSET + RIG_END - (4 + 2 * RIG_RING_SIZE);
	refused(config, outside);
	config.features = 0;
	ring_destroy(rig->ring);
	assert_int_equal(ring_create(&config, &rig->ring, NULL), 0);
}

/* ---- packed ---- */

static void size_zero_or_too_large_is_refused(void **state)
{
	static const uint32_t sizes[] = { 0, RING_SIZE_MAX + 1, UINT32_MAX };
	struct rig *rig = *state;
	struct ring_config config;

	rig_open(rig, RIG_RING_SIZE, 0);
	config = mock_driver_config(&rig->driver);
	for (unsigned int i = 0; i < 3; i++) {
		config.size = sizes[i];
		refused(config, "are possible");
	}
}

static void legacy_guest_is_refused(void **state)
{
	struct rig *rig = *state;
	struct ring_config config;

	rig_open(rig, RIG_RING_SIZE, 0);
	config = mock_driver_config(&rig->driver);
	config.features = FEATURE(VIRTIO_F_RING_PACKED);
	refused(config, "VERSION_1");
}

static void impossible_base_is_refused(void **state)
{
	static const uint32_t bases[] = {
		LAP_ONE | RIG_RING_SIZE | LAP_ONE << 16,   /* available beyond the ring */
		LAP_ONE | (LAP_ONE | RIG_RING_SIZE) << 16, /* used beyond the ring */
		LAP_ONE | 2 | (LAP_ONE | 3) << 16,         /* used before it was available */
		LAP_ONE | 3 | 2u << 16,                    /* more out than the ring has */
		3 | (LAP_ONE | 2) << 16,                   /* the same, other lap */
	};
	struct rig *rig = *state;
	struct ring_config config;

	rig_open(rig, RIG_RING_SIZE, 0);
	config = mock_driver_config(&rig->driver);
	for (unsigned int i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		config.base = bases[i];
		refused(config, "cannot begin at");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(ring_sizes_that_are_refused),
		FAULT_TEST(ring_addresses_that_are_refused),
		FAULT_TEST(ring_tail_beyond_the_region),
		PACKED_TEST(size_zero_or_too_large_is_refused),
		PACKED_TEST(legacy_guest_is_refused),
		PACKED_TEST(impossible_base_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
