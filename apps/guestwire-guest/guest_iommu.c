/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front-end of a guest behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM; vhost-user,
 * "IOMMU support").
 *
 * All that the guest names are I/O addresses, rings included; none is told before it is
 * missed. The back-end asks on a channel of its own, and is told a block around what it
 * missed, of one page to many. With --invalidate some of it is taken away now and then,
 * or all of it, also where rings lie and under frames that are out: the back-end then
 * misses it again. What it asks for that nobody has is an error.
 */
#include "guest_run.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_spec.h"

#define NS_PER_MS     1000000ll
#define BLOCK_SIZES   6u /* of what is told: a page, two, four ... */
#define TAKEN_BYTES   (64ull << 10)
#define ALL_EACH      8u /* one in so many takes all away */
#define SERVE_MAX     64u
#define RANDOM_FACTOR 0x9e3779b97f4a7c15ull

struct iotlb_wire {
	uint64_t iova, size, user_addr;
	uint8_t access, type;
	uint8_t padding[6];
};

struct miss_wire {
	uint32_t header[3];
	struct iotlb_wire iotlb;
} __attribute__((packed));

int guest_iommu_open(struct guest_run *run)
{
	int pair[2], rc;

	guest_iommu_close(run);
	if (!run->nic->options->iommu)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_set(&run->fe.fail, -errno, "cannot make a channel for the back-end: %s",
				strerror(errno));
	run->iommu.fd = pair[0];
	rc = front_end_request(&run->fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1,
			       false);
	close(pair[1]);
	return rc;
}

void guest_iommu_close(struct guest_run *run)
{
	if (run->iommu.fd >= 0)
		close(run->iommu.fd);
	run->iommu.fd = -1;
}

static int tell(struct guest_run *run, const struct iotlb_wire *wire)
{
	return front_end_request(&run->fe, VHOST_USER_IOTLB_MSG, wire, sizeof(*wire), NULL, 0,
				 true);
}

static const struct guest_region *region_at(const struct guest_run *run, uint64_t iova)
{
	for (uint32_t i = 0; i < run->memory.region_count; i++) {
		const struct guest_region *region = &run->memory.regions[i];

		if (iova - GUEST_IOVA_BASE >= region->gpa &&
		    iova - GUEST_IOVA_BASE - region->gpa < region->size)
			return region;
	}
	return NULL;
}

/* A block around it; regions are multiples of the largest. */
static bool answer(struct guest_run *run, uint64_t iova)
{
	uint64_t size = (uint64_t)GUEST_PAGE << run->iommu.turn++ % BLOCK_SIZES;
	const struct guest_region *region = region_at(run, iova);
	struct iotlb_wire wire = { .iova = iova & ~(size - 1),
				   .size = size,
				   .access = VHOST_USER_IOTLB_READ | VHOST_USER_IOTLB_WRITE,
				   .type = VHOST_USER_IOTLB_UPDATE };

	run->summary->misses++;
	if (!region) {
		summary_error(run->summary, EXIT_WRONG,
			      "the back-end asks for I/O address 0x%llx, which nobody has",
			      (unsigned long long)iova);
		return true;
	}
	wire.user_addr = (uintptr_t)region->host + (wire.iova - GUEST_IOVA_BASE - region->gpa);
	return guest_run_said(run, tell(run, &wire), "I/O addresses that were missed");
}

bool guest_iommu_serve(struct guest_run *run)
{
	struct miss_wire miss;
	ssize_t got;

	for (uint32_t i = 0; i < SERVE_MAX; i++) {
		got = recv(run->iommu.fd, &miss, sizeof(miss), MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return true;
		if (got <= 0) {
			run->lost = true;
			return false;
		}
		if (got != sizeof(miss) || miss.header[0] != VHOST_USER_BACKEND_IOTLB_MSG ||
		    miss.header[2] != sizeof(miss.iotlb) ||
		    miss.iotlb.type != VHOST_USER_IOTLB_MISS) {
			summary_error(run->summary, EXIT_PROTOCOL,
				      "the back-end's own message %u is not an IOTLB miss",
				      miss.header[0]);
			return false;
		}
		if (!answer(run, miss.iotlb.iova))
			return false;
	}
	return true;
}

bool guest_iommu_tick(struct guest_run *run, int64_t now_ns)
{
	const struct guest_memory *memory = &run->memory;
	uint64_t period_ms = run->nic->options->invalidate_ms;
	const struct guest_region *last = &memory->regions[memory->region_count - 1], *region;
	struct iotlb_wire wire = { .type = VHOST_USER_IOTLB_INVALIDATE };
	uint64_t turn, somewhere;

	if (!period_ms || now_ns < run->iommu.next_ns)
		return true;
	run->iommu.next_ns = now_ns + (int64_t)period_ms * NS_PER_MS;
	turn = ++run->summary->invalidations;
	region = &memory->regions[turn % memory->region_count];
	wire.iova = GUEST_IOVA_BASE;
	wire.size = last->gpa + last->size;
	if (turn % ALL_EACH) {
		somewhere = turn * RANDOM_FACTOR % (region->used / TAKEN_BYTES + 1);
		wire.iova += region->gpa + somewhere * TAKEN_BYTES;
		wire.size = TAKEN_BYTES;
	}
	return guest_run_said(run, tell(run, &wire), "I/O addresses that are taken away");
}
