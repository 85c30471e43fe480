/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm.h"

#include "ring_record.h"
#include "vhost_user_spec.h"
#include "vm_inside.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define VM_FEATURES                                                     \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | \
	 1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define PROTOCOL_INFLIGHT                                        \
	(1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |          \
	 1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT | \
	 1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN)
#define PROTOCOL_IOMMU (1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ)
#define PROTOCOL_MQ    (1ull << VHOST_USER_PROTOCOL_F_MQ)
/* In front of the slots. */
#define RINGS_BYTES    (1u << 20)
#define RX             0u
#define TX             1u

/* ---- the wire, as the specification has it ---- */

struct request {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t count, padding;
			uint64_t guest_addr, bytes, user_addr, offset;
		} memory;
		struct {
			uint64_t bytes, offset;
			uint16_t queues, queue_size;
		} inflight;
		struct {
			uint64_t iova, bytes, user_addr;
			uint8_t access, type, padding[6];
		} iotlb;
	} payload;
} __attribute__((packed));

void vm_wait_readable(int fd, const char *what)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	if (poll(&pollfd, 1, VM_DEADLINE_MS) != 1)
		fail_msg("nothing came within %u ms: %s", VM_DEADLINE_MS, what);
}

static void send_request(struct vm *vm, struct request *request, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct iovec iov = { request, VHOST_USER_HEADER_BYTES + request->size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	request->flags |= VHOST_USER_VERSION;
	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(vm->fd, &msg, MSG_NOSIGNAL), iov.iov_len);
}

/* A reply; counts descriptors that came beside it. */
static void read_reply(struct vm *vm, struct request *reply)
{
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { reply, sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	vm_wait_readable(vm->fd, "a reply");
	assert_in_range(recvmsg(vm->fd, &msg, 0), VHOST_USER_HEADER_BYTES, sizeof(*reply));
	vm->reply_fds += CMSG_FIRSTHDR(&msg) != NULL;
	assert_true(reply->flags & VHOST_USER_REPLY);
}

static uint64_t ask_u64(struct vm *vm, uint32_t number)
{
	struct request request = { .request = number };

	send_request(vm, &request, -1);
	read_reply(vm, &request);
	assert_int_equal(request.size, 8);
	return request.payload.u64;
}

/* With a REPLY_ACK, which has to say yes. */
static void tell(struct vm *vm, struct request *request, int fd)
{
	request->flags = VHOST_USER_NEED_REPLY;
	send_request(vm, request, fd);
	read_reply(vm, request);
	assert_int_equal(request->payload.u64, 0);
}

static void tell_u64(struct vm *vm, uint32_t number, uint64_t value, int fd)
{
	struct request request = { .request = number, .size = 8, .payload.u64 = value };

	tell(vm, &request, fd);
}

static void tell_state(struct vm *vm, uint32_t number, uint32_t index, uint32_t num)
{
	struct request request = { .request = number, .size = 8, .payload.state = { index, num } };

	tell(vm, &request, -1);
}

/* ---- an IOMMU ---- */

static void share_channel(struct vm *vm)
{
	struct request request = { .request = VHOST_USER_SET_BACKEND_REQ_FD };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vm->channel_fd = fds[0];
	tell(vm, &request, fds[1]);
	close(fds[1]);
}

static struct request iotlb_request(uint8_t type, uint64_t addr, uint64_t bytes)
{
	return (struct request){
		.request = VHOST_USER_IOTLB_MSG,
		.size = sizeof(((struct request *)NULL)->payload.iotlb),
		.payload.iotlb = { addr,
				   bytes,
				   addr + MOCK_USER_OFFSET,
				   VHOST_USER_IOTLB_READ | VHOST_USER_IOTLB_WRITE,
				   type,
				   { 0 } },
	};
}

void vm_map(struct vm *vm, uint64_t addr, uint64_t bytes)
{
	struct request request = iotlb_request(VHOST_USER_IOTLB_UPDATE, addr, bytes);

	tell(vm, &request, -1);
}

void vm_unmap_begin(struct vm *vm, uint64_t addr, uint64_t bytes)
{
	struct request request = iotlb_request(VHOST_USER_IOTLB_INVALIDATE, addr, bytes);

	request.flags = VHOST_USER_NEED_REPLY;
	send_request(vm, &request, -1);
}

void vm_unmap_end(struct vm *vm)
{
	struct request reply;

	read_reply(vm, &reply);
	assert_int_equal(reply.request, VHOST_USER_IOTLB_MSG);
	assert_int_equal(reply.payload.u64, 0);
}

uint64_t vm_wait_miss(struct vm *vm)
{
	struct request question = { 0 };
	size_t len = VHOST_USER_HEADER_BYTES + sizeof(question.payload.iotlb);

	vm_wait_readable(vm->channel_fd, "a question for an I/O address");
	assert_int_equal(recv(vm->channel_fd, &question, len, MSG_WAITALL), len);
	assert_int_equal(question.request, VHOST_USER_BACKEND_IOTLB_MSG);
	assert_int_equal(question.payload.iotlb.type, VHOST_USER_IOTLB_MISS);
	return question.payload.iotlb.iova;
}

/* ---- start and stop ---- */

void vm_connect(struct vm *vm, const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct request request = { .request = VHOST_USER_SET_PROTOCOL_FEATURES,
				   .size = 8,
				   .payload.u64 = 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK };
	struct request owner = { .request = VHOST_USER_SET_OWNER };

	if (vm->options.inflight)
		request.payload.u64 |= PROTOCOL_INFLIGHT;
	if (vm->options.iommu) {
		request.payload.u64 |= PROTOCOL_IOMMU;
		vm->options.features |= 1ull << VIRTIO_F_ACCESS_PLATFORM;
	}
	if (vm->options.multiqueue) {
		request.payload.u64 |= PROTOCOL_MQ;
		vm->options.features |= 1ull << VIRTIO_NET_F_MQ | 1ull << VIRTIO_NET_F_CTRL_VQ;
	}
	strncpy(address.sun_path, socket_path, sizeof(address.sun_path) - 1);
	vm->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(vm->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	vm->features =
		ask_u64(vm, VHOST_USER_GET_FEATURES) &
		(VM_FEATURES | vm->options.features | 1ull << VHOST_USER_F_PROTOCOL_FEATURES);
	assert_int_equal(ask_u64(vm, VHOST_USER_GET_PROTOCOL_FEATURES) & request.payload.u64,
			 request.payload.u64);
	send_request(vm, &request, -1);
	tell(vm, &owner, -1);
	tell_u64(vm, VHOST_USER_SET_FEATURES, vm->features, -1);
}

static void open_memory(struct vm *vm)
{
	struct mock_region region = { .guest_addr = VM_MEMORY_ADDR,
				      .bytes = vm->options.memory_bytes };
	struct memmap_arena none = { -1, 0 };

	mock_memory_open(&vm->memory, &region, 1, none);
}

static uint16_t first_place(const struct vm *vm)
{
	return vm->features & 1ull << VIRTIO_F_RING_PACKED ? MOCK_PLACE_FIRST : 0;
}

static void open_ring(struct vm *vm, struct vm_ring *ring, uint32_t size, uint64_t addr,
		      uint64_t slots_addr)
{
	mock_driver_open(&ring->driver, &vm->memory, size, addr, vm->features, first_place(vm));
	ring->slots_addr = slots_addr;
	ring->next_slot = 0;
	ring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void vm_close_ring(struct vm_ring *ring)
{
	if (ring->driver.size)
		mock_driver_close(&ring->driver);
	for (int *fd = &ring->kick_fd; fd <= &ring->err_fd; fd++)
		if (*fd > 0)
			close(*fd);
	memset(ring, 0, sizeof(*ring));
}

void vm_share_memory(struct vm *vm)
{
	struct request request = { .request = VHOST_USER_SET_MEM_TABLE, .size = 40 };

	if (!vm->options.memory_bytes)
		vm->options.memory_bytes = VM_MEMORY_BYTES;
	if (!vm->memory.count)
		open_memory(vm);
	request.payload.memory.count = 1;
	request.payload.memory.guest_addr = VM_MEMORY_ADDR;
	request.payload.memory.bytes = vm->memory.region[0].bytes;
	request.payload.memory.user_addr = VM_MEMORY_ADDR + MOCK_USER_OFFSET;
	tell(vm, &request, vm->memory.region[0].fd);
}

static size_t record_bytes(void)
{
	return ring_record_bytes(VM_RING_SIZE, false);
}

static void open_inflight(struct vm *vm)
{
	vm->inflight_fd = memfd_create("vm-inflight", MFD_CLOEXEC);
	assert_int_equal(ftruncate(vm->inflight_fd, (off_t)(2 * record_bytes())), 0);
	vm->inflight = mmap(NULL, 2 * record_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
			    vm->inflight_fd, 0);
	assert_ptr_not_equal(vm->inflight, MAP_FAILED);
}

static void close_inflight(struct vm *vm)
{
	if (!vm->inflight)
		return;
	munmap(vm->inflight, 2 * record_bytes());
	close(vm->inflight_fd);
	vm->inflight = NULL;
}

void vm_share_inflight(struct vm *vm)
{
	struct request request = { .request = VHOST_USER_SET_INFLIGHT_FD, .size = 20 };

	if (!vm->inflight)
		open_inflight(vm);
	request.payload.inflight.bytes = 2 * record_bytes();
	request.payload.inflight.queues = 2;
	request.payload.inflight.queue_size = VM_RING_SIZE;
	tell(vm, &request, vm->inflight_fd);
}

/* vhost-user, "Inflight I/O tracking": QueueRegionSplit. */
struct record {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} desc[VM_RING_SIZE];
};

static struct record *record_of(const struct vm *vm, unsigned int index)
{
	return (struct record *)(vm->inflight + index * record_bytes());
}

unsigned int vm_recorded(const struct vm *vm, unsigned int index)
{
	const struct record *record = record_of(vm, index);
	unsigned int count = 0;

	for (unsigned int i = 0; i < VM_RING_SIZE && record->version; i++)
		count += record->desc[i].inflight == 1;
	return count;
}

void vm_record(struct vm *vm, unsigned int index, unsigned int count)
{
	const struct mock_driver *driver = index ? &vm->tx.driver : &vm->rx.driver;
	struct record *record = record_of(vm, index);

	/* What the back-end still does after an answer is done when the next one comes. */
	ask_u64(vm, VHOST_USER_GET_FEATURES);
	*record = (struct record){ .version = 1,
				   .desc_num = VM_RING_SIZE,
				   .used_idx = driver->used->idx };
	for (unsigned int i = 0; i < count; i++) {
		uint16_t head = driver->avail->ring[(driver->used->idx + i) % VM_RING_SIZE];

		record->desc[head].inflight = 1;
		record->desc[head].counter = i;
	}
}

/* Says all of a ring that there is. */
static void tell_ring(struct vm *vm, struct vm_ring *ring, unsigned int index, uint16_t base)
{
	struct request request = { .request = VHOST_USER_SET_VRING_ADDR, .size = 40 };
	struct ring_config config = mock_driver_config(&ring->driver);
	uint64_t offset = vm->options.iommu ? MOCK_USER_OFFSET : 0;

	tell_state(vm, VHOST_USER_SET_VRING_NUM, index, ring->driver.size);
	tell_state(vm, VHOST_USER_SET_VRING_BASE, index, base);
	request.payload.addr.index = index;
	request.payload.addr.desc = config.desc_addr - offset;
	request.payload.addr.avail = config.avail_addr - offset;
	request.payload.addr.used = config.used_addr - offset;
	tell(vm, &request, -1);
	tell_u64(vm, VHOST_USER_SET_VRING_KICK, index, ring->kick_fd);
	tell_u64(vm, VHOST_USER_SET_VRING_CALL, index, ring->call_fd);
	tell_u64(vm, VHOST_USER_SET_VRING_ERR, index, ring->err_fd);
	tell_state(vm, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

void vm_enable(struct vm *vm, unsigned int index, bool on)
{
	tell_state(vm, VHOST_USER_SET_VRING_ENABLE, index, on);
}

static void start_ring(struct vm *vm, struct vm_ring *ring, unsigned int index, uint64_t addr)
{
	uint64_t slots = VM_MEMORY_ADDR + RINGS_BYTES + (uint64_t)index * VM_SLOTS * VM_SLOT_BYTES;

	vm_close_ring(ring);
	open_ring(vm, ring, VM_RING_SIZE, addr, slots);
	tell_ring(vm, ring, index, first_place(vm));
}

void vm_start_ring(struct vm *vm, struct vm_ring *ring, unsigned int index, uint32_t size,
		   uint64_t addr)
{
	open_ring(vm, ring, size, addr, 0);
	tell_ring(vm, ring, index, first_place(vm));
}

void vm_start_tx(struct vm *vm)
{
	start_ring(vm, &vm->tx, TX, VM_MEMORY_ADDR + (512u << 10));
}

void vm_start_rings(struct vm *vm)
{
	start_ring(vm, &vm->rx, RX, VM_MEMORY_ADDR);
	vm_start_tx(vm);
}

/* As far as to the rings. */
static void begin(struct vm *vm, const char *socket_path)
{
	vm_connect(vm, socket_path);
	if (vm->options.inflight)
		vm_share_inflight(vm);
	if (vm->options.iommu)
		share_channel(vm);
	vm_share_memory(vm);
	if (vm->options.iommu)
		vm_map(vm, VM_MEMORY_ADDR, RINGS_BYTES);
}

void vm_start_with(struct vm *vm, const char *socket_path, const struct vm_options *options)
{
	memset(vm, 0, sizeof(*vm));
	vm->options = *options;
	vm->fd = -1;
	begin(vm, socket_path);
	vm_start_rings(vm);
}

void vm_come_again(struct vm *vm, const char *socket_path)
{
	vm_disconnect(vm);
	begin(vm, socket_path);
	for (unsigned int i = 0; i < 2; i++)
		vm_go_on(vm, i, (i ? &vm->tx : &vm->rx)->driver.used->idx);
}

static void ask_base(struct vm *vm, uint32_t number, unsigned int index)
{
	struct request request = { .request = number, .size = 8, .payload.state = { index, 0 } };

	send_request(vm, &request, -1);
}

void vm_stop_begin(struct vm *vm, unsigned int index)
{
	ask_base(vm, VHOST_USER_GET_VRING_BASE, index);
}

bool vm_answered(struct vm *vm, unsigned int wait_ms)
{
	struct pollfd pollfd = { .fd = vm->fd, .events = POLLIN };

	return poll(&pollfd, 1, (int)wait_ms) > 0;
}

uint16_t vm_stop_end(struct vm *vm, unsigned int index)
{
	struct request reply;

	read_reply(vm, &reply);
	assert_int_equal(reply.payload.state.index, index);
	return (uint16_t)reply.payload.state.num;
}

void vm_reset_owner(struct vm *vm)
{
	struct request request = { .request = VHOST_USER_RESET_OWNER };

	tell(vm, &request, -1);
}

uint16_t vm_stop_ring(struct vm *vm, unsigned int index)
{
	vm_stop_begin(vm, index);
	return vm_stop_end(vm, index);
}

uint16_t vm_suspend_tx(struct vm *vm)
{
	ask_base(vm, VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, TX);
	return vm_stop_end(vm, TX);
}

void vm_go_on(struct vm *vm, unsigned int index, uint16_t base)
{
	tell_ring(vm, index == TX ? &vm->tx : &vm->rx, index, base);
}

void vm_disconnect(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
	if (vm->channel_fd > 0)
		close(vm->channel_fd);
	vm->channel_fd = 0;
}

void vm_free(struct vm *vm)
{
	vm_disconnect(vm);
	vm_close_ring(&vm->tx);
	vm_close_ring(&vm->rx);
	if (vm->memory.count)
		mock_memory_close(&vm->memory);
	close_inflight(vm);
	memset(vm, 0, sizeof(*vm));
	vm->fd = -1;
}
