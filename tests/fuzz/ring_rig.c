/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_rig.h"

#include "checksum.h"
#include "fd.h"
#include "net_header.h"
#include "ring_record.h"
#include <linux/virtio_config.h>

#define STEPS_MAX 512u

/* Bits of the input's first byte; the others choose the size. */
#define SHAPE_EVENT_IDX 0x80u
#define SHAPE_INDIRECT  0x40u
/* Of its second byte. */
#define SHAPE_IN_ORDER  0x01u
#define SHAPE_IOTLB     0x02u
#define SHAPE_RAW       0x04u
#define SHAPE_RECORD    0x08u
#define SHAPE_LOG       0x10u

/* Pages as the device sees them: the ring's own are where they were. */
#define PAGE_BYTES  4096u
#define IOVA_PAGES  16u
#define GUEST_PAGES ((RIG_LOW_BYTES + RIG_HIGH_BYTES) / PAGE_BYTES)

/* For the largest packed ring. */
#define RECORD_BYTES 2048u

struct mock_memory ring_rig_memory;

static struct dirty_log *dirty_log;
static _Alignas(RING_RECORD_ALIGN) uint8_t record[RECORD_BYTES];

static void open_memory(void)
{
	static const struct mock_region regions[] = {
		{ .guest_addr = 0, .bytes = RIG_LOW_BYTES },
		{ .guest_addr = RIG_LOW_BYTES, .bytes = RIG_HIGH_BYTES },
		{ .guest_addr = RIG_APART_ADDR, .bytes = RIG_APART_BYTES },
	};

	int fd = gw_memfd("dirty-log", PAGE_BYTES);

	mock_memory_open(&ring_rig_memory, regions, 3, (struct memmap_arena){ .fd = -1 });
	RIG_CHECK(fd >= 0);
	RIG_CHECK(dirty_log_create(fd, PAGE_BYTES, 0, &dirty_log, NULL) == 0);
	gw_fd_close(&fd);
	RIG_CHECK(ring_record_bytes(RIG_SIZE_MAX, true) <= RECORD_BYTES);
}

/* ---- the guest ---- */

struct rig_buffer ring_rig_buffer(struct fuzz_input *input)
{
	uint8_t shape = fuzz_u8(input), low = fuzz_u8(input), high = fuzz_u8(input);
	uint8_t len = fuzz_u8(input), flags = fuzz_u8(input);
	struct rig_buffer buffer = {
		.addr = (uint64_t)(high % 0x40) << 8 | low,
		.len = len,
		.flags = flags & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE),
	};

	if (shape % 16 == 2) {
		buffer.flags = VRING_DESC_F_INDIRECT;
		buffer.addr = RIG_TABLE_ADDR;
		buffer.len = 16u * (len % (RIG_TABLE_LEN + 1));
	}
	if (shape == 3)
		buffer.flags = flags;
	if (shape == 4)
		buffer.len = (uint32_t)fuzz_u64(input);
	if (shape == 5)
		buffer.addr = fuzz_u64(input);
	return buffer;
}

void ring_rig_poke(struct fuzz_input *input, uint16_t where)
{
	*(uint8_t *)mock_at(&ring_rig_memory, where % (RIG_LOW_BYTES + RIG_HIGH_BYTES)) =
		fuzz_u8(input);
}

/* Ring, table and what lies behind them, byte for byte. */
static void fill_raw(struct fuzz_input *input, const struct mock_driver *driver)
{
	uint8_t *low = ring_rig_memory.region[0].view;

	fuzz_take(input, low + RIG_RING_ADDR, mock_ring_bytes(driver->size));
	fuzz_take(input, low + RIG_TABLE_ADDR, RIG_LOW_BYTES - RIG_TABLE_ADDR);
}

/* ---- its IOMMU ---- */

static void replace_iotlb(struct ring_rig *rig, struct iotlb *iotlb)
{
	RIG_CHECK(iotlb);
	if (rig->ring)
		ring_set_iotlb(rig->ring, iotlb);
	iotlb_put(rig->iotlb);
	rig->iotlb = iotlb;
}

/* A page of the guest, or one that is none, at a page of I/O addresses. */
static void map_page(struct ring_rig *rig, uint64_t iova, uint8_t page, uint8_t access)
{
	struct iotlb_range range = {
		.iova = iova & -(uint64_t)PAGE_BYTES,
		.size = PAGE_BYTES,
		.user_addr = MOCK_USER_OFFSET + (uint64_t)(page % (GUEST_PAGES + 1)) * PAGE_BYTES,
		.access = access,
	};

	replace_iotlb(rig, iotlb_with(rig->iotlb, &range, NULL));
}

static void open_iotlb(struct fuzz_input *input, struct ring_rig *rig)
{
	rig->iotlb = iotlb_create();
	RIG_CHECK(rig->iotlb);
	map_page(rig, 0, 0, IOTLB_READ_WRITE);
	for (unsigned int i = 1; i < GUEST_PAGES; i++)
		map_page(rig, (uint64_t)i * PAGE_BYTES, fuzz_u8(input), IOTLB_READ_WRITE);
}

/*
 * It finds no more than it may, and changes nothing. To ask whether it is due is to ask
 * for chains, so a packed ring may pass then what somebody else has used: where that
 * began, a guest can have taken a chain back since the last step.
 */
static void look_ahead(struct ring_rig *rig, unsigned int max)
{
	enum ring_fault fault = ring_fault(rig->ring);
	struct iotlb_miss miss[RING_AHEAD_MAX];
	uint32_t base;

	if (ring_look_short(rig->ring))
		ring_want_kick_ahead(rig->ring);
	ring_look_due(rig->ring);
	base = ring_base(rig->ring);
	RIG_CHECK(ring_look_ahead(rig->ring, miss, max) <= max);
	RIG_CHECK(ring_base(rig->ring) == base && ring_fault(rig->ring) == fault);
	RIG_CHECK(ring_in_flight(rig->ring) == rig->held_count);
}

static void change_iotlb(struct fuzz_input *input, struct ring_rig *rig)
{
	uint8_t what = fuzz_u8(input), page = fuzz_u8(input);
	struct iotlb_miss miss;

	if (!rig->iotlb)
		return;
	look_ahead(rig, 1 + what % RING_AHEAD_MAX);
	if (ring_missing(rig->ring, &miss) && what % 4)
		/* The ring's page is answered as it was, so that it goes on. */
		map_page(rig, miss.iova, miss.iova < PAGE_BYTES ? 0 : page,
			 miss.access | (what & IOTLB_READ_WRITE));
	else if (what & 0x80)
		map_page(rig, (uint64_t)(page % IOVA_PAGES) * PAGE_BYTES, page >> 4,
			 1 + what % IOTLB_READ_WRITE);
	else
		replace_iotlb(rig,
			      iotlb_without(rig->iotlb, (uint64_t)(page % IOVA_PAGES) * PAGE_BYTES,
					    PAGE_BYTES, NULL));
}

/* ---- the front-end ---- */

/* The config's addresses are the guest's own where an IOMMU stands between. */
static void open_ring(struct ring_rig *rig, uint32_t base)
{
	struct ring_config config = mock_driver_config(&rig->driver);

	config.base = base;
	config.iotlb = rig->iotlb;
	config.record = rig->recorded ? record : NULL;
	config.log = rig->logged ? dirty_log : NULL;
	if (rig->iotlb) {
		config.desc_addr -= MOCK_USER_OFFSET;
		config.avail_addr -= MOCK_USER_OFFSET;
		config.used_addr -= MOCK_USER_OFFSET;
	}
	RIG_CHECK(ring_create(&config, &rig->ring, NULL) == 0);
}

/* The process dies with chains out, and begins again; or the record is spoilt before. */
static void restart(struct fuzz_input *input, struct ring_rig *rig)
{
	uint32_t base = ring_base(rig->ring);
	uint8_t spoil = fuzz_u8(input);

	ring_destroy(rig->ring);
	rig->ring = NULL;
	rig->held_count = rig->since_push = 0;
	for (spoil = spoil < 128 ? 0 : spoil % 8; spoil; spoil--)
		record[(fuzz_u8(input) << 8 | fuzz_u8(input)) % RECORD_BYTES] = fuzz_u8(input);
	if (rig->iotlb)
		map_page(rig, RIG_RING_ADDR, 0, IOTLB_READ_WRITE);
	open_ring(rig, base);
	RIG_CHECK(ring_resubmitted(rig->ring) <= rig->driver.size);
	RIG_CHECK(ring_in_flight(rig->ring) == 0);
}

/* ---- the device ---- */

/* Adds up the segments of one direction; each lies in the guest's part of the window. */
static uint64_t check_segments(const struct iovec *seg, unsigned int count)
{
	const volatile uint8_t *base;
	struct gw_window window;
	uint64_t sum = 0;
	uintptr_t offset;

	gw_memmap_window(ring_rig_memory.memmap, &window);
	for (unsigned int i = 0; i < count; i++) {
		base = seg[i].iov_base;
		offset = (uintptr_t)base - (uintptr_t)window.base;
		RIG_CHECK(seg[i].iov_len && offset < window.len &&
			  seg[i].iov_len <= window.len - offset);
		(void)base[0];
		(void)base[seg[i].iov_len - 1];
		sum += seg[i].iov_len;
	}
	return sum;
}

/* What a port does with it next. */
static void use_header(struct iovec *seg, const struct ring_chain *chain, uint64_t features)
{
	struct virtio_net_hdr_v1 header;
	uint8_t frame[256] = { 0 };
	const struct iovec linear = { frame, sizeof(frame) };
	uint32_t frame_len;
	unsigned int first;

	if (!net_header_strip(seg, chain->read_count, 12, &header, &first))
		return;
	frame_len = (uint32_t)(chain->read_bytes - 12);
	RIG_CHECK(check_segments(seg + first, chain->read_count - first) == frame_len);
	if (!net_header_valid(&header, features, frame_len))
		return;
	if (frame_len <= sizeof(frame))
		RIG_CHECK(checksum_complete(&linear, 1, frame_len, &header));
}

static void pop(struct ring_rig *rig)
{
	uint32_t base, in_flight = ring_in_flight(rig->ring);
	enum ring_fault before = ring_fault(rig->ring);
	struct iovec seg[GW_FRAME_SEGS];
	struct ring_chain chain;
	int rc;

	/* As in look_ahead: to ask for chains may move a packed ring, whether it has one. */
	ring_has_avail(rig->ring);
	base = ring_base(rig->ring);
	rc = ring_pop(rig->ring, &chain, seg, GW_FRAME_SEGS);
	RIG_CHECK(before ? rc == -1 : true);
	RIG_CHECK((rc == -1) == (ring_fault(rig->ring) != RING_FAULT_NONE));
	if (rc != 1) {
		RIG_CHECK(ring_base(rig->ring) == base && ring_in_flight(rig->ring) == in_flight);
		return;
	}
	for (uint32_t i = 0; i < rig->held_count; i++)
		RIG_CHECK(rig->held[i] != chain.head);
	RIG_CHECK(chain.head < rig->driver.size && rig->held_count < rig->driver.size);
	RIG_CHECK(chain.read_count + chain.write_count <= GW_FRAME_SEGS);
	RIG_CHECK(check_segments(seg, chain.read_count) == chain.read_bytes);
	RIG_CHECK(check_segments(seg + chain.read_count, chain.write_count) == chain.write_bytes);
	rig->held[rig->held_count++] = chain.head;
	rig->since_push++;
	use_header(seg, &chain, rig->driver.features);
}

/* Each is a chain as ring_pop lets it through, and none of them broke a rule. */
static void pop_run(struct ring_rig *rig, unsigned int max)
{
	enum ring_fault before = ring_fault(rig->ring);
	struct ring_linear run[RIG_SIZE_MAX];
	unsigned int count = ring_pop_run(rig->ring, run, max);

	RIG_CHECK(ring_fault(rig->ring) == before && count <= max);
	RIG_CHECK(!count || (!before && !rig->iotlb));
	for (unsigned int i = 0; i < count; i++) {
		const struct iovec seg = { run[i].base, run[i].len };

		for (uint32_t k = 0; k < rig->held_count; k++)
			RIG_CHECK(rig->held[k] != run[i].head);
		RIG_CHECK(run[i].head < rig->driver.size && rig->held_count < rig->driver.size);
		RIG_CHECK(check_segments(&seg, 1) == run[i].len);
		rig->held[rig->held_count++] = run[i].head;
		rig->since_push++;
	}
}

/* The oldest ones, in their order or the other way round. */
static void push_run(struct ring_rig *rig, uint8_t which)
{
	uint16_t head[RIG_SIZE_MAX];
	uint32_t count = which / 2 % (rig->held_count + 1);

	for (uint32_t i = 0; i < count; i++)
		head[i] = rig->held[which % 2 ? count - 1 - i : i];
	ring_push_run(rig->ring, head, count);
	rig->held_count -= count;
	memmove(rig->held, rig->held + count, rig->held_count * sizeof(rig->held[0]));
	if (rig->since_push > rig->held_count)
		rig->since_push = rig->held_count;
}

/* Finds some, and takes some of these: none of them is ever out. */
static void fill_run(struct ring_rig *rig, uint8_t which)
{
	enum ring_fault before = ring_fault(rig->ring);
	unsigned int max = 1 + which, count;
	uint32_t written[RIG_SIZE_MAX];
	struct ring_linear run[RIG_SIZE_MAX];

	count = ring_find_writable(rig->ring, run, max);
	RIG_CHECK(ring_fault(rig->ring) == before && count <= max && count <= rig->driver.size);
	RIG_CHECK(!count || (!before && !rig->iotlb && !rig->held_count));
	for (unsigned int i = 0; i < count; i++) {
		const struct iovec seg = { run[i].base, run[i].len };

		RIG_CHECK(run[i].head < rig->driver.size);
		RIG_CHECK(check_segments(&seg, 1) == run[i].len);
		written[i] = which * i;
	}
	ring_fill_run(rig->ring, run, written, count - (which % 2 && count));
}

static void push(struct ring_rig *rig, uint8_t which)
{
	uint32_t i;

	if (!rig->held_count)
		return;
	i = which % rig->held_count;
	ring_push(rig->ring, rig->held[i], which);
	memmove(&rig->held[i], &rig->held[i + 1], (rig->held_count - i - 1) * sizeof(rig->held[0]));
	rig->held_count--;
	rig->since_push = 0;
}

static void unpop(struct ring_rig *rig)
{
	if (!rig->since_push)
		return;
	ring_unpop(rig->ring, 1);
	rig->held_count--;
	rig->since_push--;
}

static void device_step(struct fuzz_input *input, struct ring_rig *rig)
{
	uint8_t what = fuzz_u8(input);

	switch (what % 16) {
	case 0:
	case 8:
		push(rig, what >> 4);
		break;
	case 1:
		ring_flush(rig->ring);
		break;
	case 9:
		fill_run(rig, what >> 4);
		break;
	case 2:
		ring_want_kick(rig->ring);
		break;
	case 3:
		ring_no_kick(rig->ring);
		break;
	case 4:
		unpop(rig);
		break;
	case 5:
		change_iotlb(input, rig);
		break;
	case 6:
		if (what >> 4 == 0)
			restart(input, rig);
		ring_set_log(rig->ring, what >> 4 & 1 && rig->logged ? dirty_log : NULL);
		break;
	case 7:
	case 10:
		pop_run(rig, 1 + what / 16u * 2);
		break;
	case 11:
		push_run(rig, what / 16u);
		break;
	default:
		pop(rig);
	}
	RIG_CHECK(ring_in_flight(rig->ring) == rig->held_count);
	RIG_CHECK(!ring_has_avail(rig->ring) || !ring_fault(rig->ring));
}

/* ---- one input ---- */

static uint64_t features_of(uint8_t shape, uint8_t more)
{
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_CSUM;

	if (shape & SHAPE_EVENT_IDX)
		features |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	if (shape & SHAPE_INDIRECT)
		features |= 1ull << VIRTIO_RING_F_INDIRECT_DESC;
	if (more & SHAPE_IN_ORDER)
		features |= 1ull << VIRTIO_F_IN_ORDER;
	return features;
}

int ring_rig_run(const struct ring_rig_guest *guest, const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	uint8_t shape = fuzz_u8(&input), more = fuzz_u8(&input);
	uint32_t size = guest->size(shape);
	struct ring_rig rig = { 0 };

	if (!ring_rig_memory.count)
		open_memory();
	for (unsigned int i = 0; i < ring_rig_memory.count; i++)
		memset(ring_rig_memory.region[i].view, 0, ring_rig_memory.region[i].bytes);
	mock_driver_open(&rig.driver, &ring_rig_memory, size, RIG_RING_ADDR,
			 features_of(shape, more) | guest->features,
			 guest->start(fuzz_u8(&input), size));
	if (more & SHAPE_IOTLB)
		open_iotlb(&input, &rig);
	rig.recorded = more & SHAPE_RECORD;
	rig.logged = more & SHAPE_LOG;
	memset(record, 0, sizeof(record));
	open_ring(&rig, mock_driver_config(&rig.driver).base);
	if (more & SHAPE_RAW)
		fill_raw(&input, &rig.driver);
	else
		guest->fill(&input, &rig);
	for (unsigned int step = 0; input.len && step < STEPS_MAX; step++) {
		guest->step(&input, &rig);
		device_step(&input, &rig);
		device_step(&input, &rig);
	}
	while (rig.held_count)
		push(&rig, 0);
	ring_flush(rig.ring);
	RIG_CHECK(ring_in_flight(rig.ring) == 0);
	ring_destroy(rig.ring);
	if (rig.iotlb)
		iotlb_put(rig.iotlb);
	mock_driver_close(&rig.driver);
	return 0;
}
