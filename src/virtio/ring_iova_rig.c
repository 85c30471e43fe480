/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_iova_rig.h"

#define BASICS (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_ACCESS_PLATFORM) | INDIRECT)

static int setup_with(void **state, uint64_t features)
{
	struct rig *rig;

	rig_setup(state);
	rig = *state;
	if (rig->packed)
		features |= FEATURE(VIRTIO_F_RING_PACKED);
	mock_driver_open(&rig->driver, &rig->memory, IOVA_RING_SIZE, RIG_RING, BASICS | features,
			 rig->packed ? MOCK_PLACE_FIRST : 0);
	rig->iotlb = iotlb_create();
	assert_non_null(rig->iotlb);
	return 0;
}

int iova_setup(void **state)
{
	return setup_with(state, 0);
}

int iova_setup_event(void **state)
{
	return setup_with(state, EVENT_IDX);
}

int iova_teardown(void **state)
{
	struct rig *rig = *state;
	struct iotlb *iotlb = rig->iotlb;

	rig_teardown(state);
	iotlb_put(iotlb);
	return 0;
}

struct ring_config iova_config(const struct rig *rig)
{
	struct ring_config config = mock_driver_config(&rig->driver);
	uint64_t shift = RING_IOVA - RIG_RING - MOCK_USER_OFFSET;

	config.desc_addr += shift;
	config.avail_addr += shift;
	config.used_addr += shift;
	config.iotlb = rig->iotlb;
	return config;
}

void iova_open(struct rig *rig)
{
	struct ring_config config = iova_config(rig);
	struct gw_error err;

	assert_int_equal(ring_create(&config, &rig->ring, &err), 0);
}

/* ---- what the front-end says ---- */

static void replace_iotlb(struct rig *rig, struct iotlb *iotlb)
{
	assert_non_null(iotlb);
	if (rig->ring)
		ring_set_iotlb(rig->ring, iotlb);
	iotlb_put(rig->iotlb);
	rig->iotlb = iotlb;
}

void iova_map_user(struct rig *rig, uint64_t iova, uint64_t user_addr, uint64_t size,
		   uint8_t access)
{
	struct iotlb_range range = {
		.iova = iova, .size = size, .user_addr = user_addr, .access = access
	};
	struct gw_error err;

	replace_iotlb(rig, iotlb_with(rig->iotlb, &range, &err));
}

void iova_map(struct rig *rig, uint64_t iova, uint64_t guest_addr, uint64_t size, uint8_t access)
{
	iova_map_user(rig, iova, MOCK_USER_OFFSET + guest_addr, size, access);
}

void iova_unmap(struct rig *rig, uint64_t iova, uint64_t size)
{
	struct gw_error err;

	replace_iotlb(rig, iotlb_without(rig->iotlb, iova, size, &err));
}

void iova_map_ring(struct rig *rig)
{
	iova_map(rig, RING_IOVA, RIG_RING, IOVA_RING_BYTES, IOTLB_READ_WRITE);
}

/* ---- what comes of it ---- */

void iova_misses(struct rig *rig, uint64_t iova, uint8_t access)
{
	struct iotlb_miss miss;

	assert_true(ring_missing(rig->ring, &miss));
	assert_int_equal(miss.iova, iova);
	assert_int_equal(miss.access, access);
	assert_false(ring_has_avail(rig->ring));
	assert_false(ring_want_kick(rig->ring));
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
}

void iova_misses_nothing(struct rig *rig)
{
	assert_false(ring_missing(rig->ring, &(struct iotlb_miss){ 0 }));
}

void iova_offer(struct rig *rig, uint64_t iova, uint32_t len, bool writable)
{
	struct mock_buffer buffer = { iova, len, writable };

	rig_offer(rig, mock_chain(&rig->driver, &buffer, 1));
}
