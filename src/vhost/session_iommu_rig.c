/* SPDX-License-Identifier: BSD-2-Clause */
#include "session_iommu_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct front front;

void iommu_give_channel(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	close(fds[1]);
	assert_int_equal(front_send(&front, VHOST_USER_SET_BACKEND_REQ_FD, 0, NULL, 0, fds, 1), 0);
	assert_true(front.channel_fd >= 0);
}

int iommu_setup(void **state)
{
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	iommu_give_channel();
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FEATURES), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	return 0;
}

int iommu_msg(uint8_t type, uint64_t iova, uint64_t size, uint64_t user, uint8_t access)
{
	const struct message_iotlb payload = { iova, size, user, access, type, { 0 } };

	return front_ack(&front, VHOST_USER_IOTLB_MSG, &payload, sizeof(payload), NULL, 0);
}

void iommu_update(uint64_t iova, uint64_t size, uint64_t user)
{
	assert_int_equal(iommu_msg(VHOST_USER_IOTLB_UPDATE, iova, size, user, RW), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
}

void iommu_invalidate(uint64_t iova, uint64_t size)
{
	assert_int_equal(iommu_msg(VHOST_USER_IOTLB_INVALIDATE, iova, size, 0, 0), 0);
}

unsigned int iommu_asked(struct message_iotlb *miss)
{
	const size_t each = VHOST_USER_HEADER_BYTES + sizeof(*miss);
	uint32_t word[3];

	assert_int_equal(front.backend_len % each, 0);
	if (front.backend_len) {
		memcpy(word, front.backend + front.backend_len - each, sizeof(word));
		memcpy(miss, front.backend + front.backend_len - sizeof(*miss), sizeof(*miss));
		assert_int_equal(word[0], VHOST_USER_BACKEND_IOTLB_MSG);
		assert_int_equal(word[1], VHOST_USER_VERSION);
		assert_int_equal(miss->type, VHOST_USER_IOTLB_MISS);
	}
	return (unsigned int)(front.backend_len / each);
}

void iommu_set_ring(uint32_t index)
{
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, index, FRONT_RING_SIZE), 0);
	assert_int_equal(front_addr(&front, index, IOVA + index * RING_GAP, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, index), 0);
}

void iommu_start_rings(void)
{
	iommu_update(IOVA, 2 * RING_GAP, FRONT_USER_ADDR);
	iommu_set_ring(0);
	iommu_set_ring(1);
	assert_true(session_ring_running(front.session, 0));
	assert_true(session_ring_running(front.session, 1));
}
