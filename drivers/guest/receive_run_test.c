/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run delivers, and before what it ends: all of that is left to receiver.c, and
 * nothing of it may have been touched.
 */
#include "guest.h"

#include "fd.h"
#include "ring_test_rig.h"
#include <string.h>
#include <unistd.h>

#define ADDR       0x10000ull
#define STEP       0x1000ull
#define COUNT      40u /* frames and buffers: more than are touched at once */
#define SIZE       64u
#define HEADER     sizeof(struct virtio_net_hdr_v1)
#define LEN        100u
#define BUFFER     (LEN + HEADER) /* has room for just that */
#define UNTOUCHED  0xa5
#define LOG_BYTES  4096u
#define LEGACY_LEN 10u
#define BYTES_MAX  (LEN + 1)
#define FILLER(i)  ((uint8_t)(0x10 + (i)))

/* receiver.c's, of a frame that asks for something. */
struct virtio_net_hdr_v1 receiver_header(const struct gw_frame *frame, unsigned int chains)
{
	struct virtio_net_hdr_v1 header = frame->header;

	header.num_buffers = (uint16_t)chains;
	return header;
}

struct bed {
	struct rig *rig;
	struct receiver receiver;
	struct gw_frame frame[COUNT], *frames[COUNT];
	uint8_t bytes[COUNT][BYTES_MAX];
	uint16_t head[COUNT];
	unsigned int delivered;
};

static uint8_t *buffer(const struct bed *bed, unsigned int i)
{
	return mock_at(&bed->rig->memory, ADDR + STEP * i);
}

static void set_len(struct bed *bed, unsigned int i, uint32_t len)
{
	bed->frame[i].len = len;
	bed->frame[i].own[0].iov_len = len;
}

static void make_frame(struct bed *bed, unsigned int i)
{
	struct gw_frame *frame = &bed->frame[i];

	memset(bed->bytes[i], FILLER(i), BYTES_MAX);
	frame->seg = frame->own;
	frame->seg_count = 1;
	frame->own[0].iov_base = bed->bytes[i];
	set_len(bed, i, LEN);
	bed->frames[i] = frame;
}

static void offer_buffer(struct bed *bed, unsigned int i)
{
	struct mock_buffer one = { ADDR + STEP * i, BUFFER, true };
	int head = mock_chain(&bed->rig->driver, &one, 1);

	assert_true(head >= 0);
	bed->head[i] = (uint16_t)head;
	memset(buffer(bed, i), UNTOUCHED, BUFFER + 1);
	rig_offer(bed->rig, head);
}

/* A receiver that looks as far as it can, buffers that are available, and frames that fit. */
static void begin(struct bed *bed, struct rig *rig)
{
	*bed = (struct bed){ .rig = rig };
	rig_open(rig, SIZE, FEATURE(VIRTIO_F_VERSION_1));
	bed->receiver =
		(struct receiver){ .ring = rig->ring, .header_len = HEADER, .reach = GW_BATCH };
	for (unsigned int i = 0; i < COUNT; i++) {
		make_frame(bed, i);
		offer_buffer(bed, i);
	}
}

static void is_written(const struct bed *bed, unsigned int i)
{
	const struct virtio_net_hdr_v1 *header = (const void *)buffer(bed, i);
	struct virtio_net_hdr_v1 want = bed->frame[i].header;

	want.num_buffers = 1;
	assert_memory_equal(header, &want, HEADER);
	assert_memory_equal(buffer(bed, i) + HEADER, bed->bytes[i], bed->frame[i].len);
	assert_int_equal(buffer(bed, i)[HEADER + bed->frame[i].len], UNTOUCHED);
	rig_collects(bed->rig, bed->head[i], bed->frame[i].len + (uint32_t)HEADER);
}

static void is_untouched(const struct bed *bed, unsigned int i)
{
	for (size_t at = 0; at <= BUFFER; at++)
		assert_int_equal(buffer(bed, i)[at], UNTOUCHED);
}

/* So many of what is left, and no more. */
static void delivers(struct bed *bed, unsigned int count)
{
	unsigned int done = bed->delivered;

	assert_int_equal(receive_run(&bed->receiver, bed->frames + done, COUNT - done), count);
	ring_flush(bed->rig->ring);
	bed->delivered += count;
	for (; done < bed->delivered; done++)
		is_written(bed, done);
	for (; done < COUNT; done++)
		is_untouched(bed, done);
	rig_collects_nothing(bed->rig);
}

static void test_frames_that_fit(void **state)
{
	struct bed bed;

	begin(&bed, *state);
	delivers(&bed, COUNT);
}

/* It looks at more buffers each time that all of them were of use. */
static void test_reach_grows(void **state)
{
	struct bed bed;

	begin(&bed, *state);
	bed.receiver.reach = 1;
	delivers(&bed, 1);
	delivers(&bed, 2);
	assert_int_equal(bed.receiver.reach, 4);
}

/* In any segments, and not one byte more than there was found room for. */
static void test_segments(void **state)
{
	struct gw_frame *frame;
	struct bed bed;

	begin(&bed, *state);
	frame = &bed.frame[1];
	frame->seg_count = 3;
	frame->own[0].iov_len = 14;
	frame->own[1] = (struct iovec){ bed.bytes[1] + 14, 50 };
	frame->own[2] = (struct iovec){ bed.bytes[1] + 64, BYTES_MAX - 64 };
	delivers(&bed, COUNT);
}

static void test_ends_before_a_frame_without_room(void **state)
{
	struct bed bed;

	begin(&bed, *state);
	set_len(&bed, 2, LEN + 1);
	delivers(&bed, 2);
	/* It is the first one now, and not looked for far ahead any more. */
	assert_int_equal(bed.receiver.reach, 1);
	delivers(&bed, 0);
	set_len(&bed, 2, LEN);
	delivers(&bed, 1);
}

/* Decided for the guest that was here before, which took more. */
static void test_ends_before_what_the_guest_does_not_take(void **state)
{
	struct bed bed;

	begin(&bed, *state);
	bed.frame[1].header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	bed.frame[1].header.csum_start = 34;
	bed.frame[1].header.csum_offset = 6;
	delivers(&bed, 1);
	delivers(&bed, 0);
	bed.receiver.offloads.takes = GW_OFFLOAD_CSUM;
	/* One, since what was in the way has it look at one. */
	delivers(&bed, 1);
	delivers(&bed, 2);
}

/* A dirty log has to know of each buffer. */
static void test_not_with_a_log(void **state)
{
	int fd = gw_memfd("dirty-log", LOG_BYTES);
	struct bed bed;

	begin(&bed, *state);
	assert_true(fd >= 0);
	assert_int_equal(dirty_log_create(fd, LOG_BYTES, 0, &bed.receiver.log, NULL), 0);
	close(fd);
	delivers(&bed, 0);
	dirty_log_put(bed.receiver.log);
	bed.receiver.log = NULL;
	delivers(&bed, COUNT);
}

static void test_not_with_a_header_of_another_length(void **state)
{
	struct bed bed;

	begin(&bed, *state);
	bed.receiver.header_len = LEGACY_LEN;
	delivers(&bed, 0);
	bed.receiver.header_len = HEADER;
	delivers(&bed, COUNT);
}

/* What would be an address of the guest's is one of its IOMMU's. */
static void test_not_with_an_iotlb(void **state)
{
	struct iotlb *iotlb = iotlb_create();
	struct bed bed;

	assert_non_null(iotlb);
	begin(&bed, *state);
	ring_set_iotlb(bed.receiver.ring, iotlb);
	delivers(&bed, 0);
	ring_set_iotlb(bed.receiver.ring, NULL);
	iotlb_put(iotlb);
	delivers(&bed, COUNT);
}

/* Of several descriptors, or none at all. */
static void test_ends_before_another_chain(void **state)
{
	struct mock_buffer two[] = { { ADDR + STEP * COUNT, 50, true },
				     { ADDR + STEP * (COUNT + 1), 1000, true } };
	struct bed bed;

	begin(&bed, *state);
	delivers(&bed, COUNT);
	bed.delivered = 0;
	offer_buffer(&bed, 0);
	rig_offer(bed.rig, mock_chain(&bed.rig->driver, two, 2));
	assert_int_equal(receive_run(&bed.receiver, bed.frames, COUNT), 1);
	assert_int_equal(receive_run(&bed.receiver, bed.frames, COUNT), 0);
	assert_int_equal(rig_pop(bed.rig), 1);
	assert_int_equal(bed.rig->chain.write_count, 2);
	ring_unpop(bed.rig->ring, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(test_frames_that_fit),
		RING_TEST(test_reach_grows),
		RING_TEST(test_segments),
		RING_TEST(test_ends_before_a_frame_without_room),
		RING_TEST(test_ends_before_what_the_guest_does_not_take),
		RING_TEST(test_not_with_a_log),
		RING_TEST(test_not_with_a_header_of_another_length),
		RING_TEST(test_not_with_an_iotlb),
		RING_TEST(test_ends_before_another_chain),
	};

	return cmocka_run_group_tests_name("receive_run", tests, NULL, NULL);
}
