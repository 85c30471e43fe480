/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a guest without a machine: it connects, starts its rings, stops them, leaves. */
#include "vm_inside.h"

#include "vhost_user_spec.h"
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
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

void vm_connect(struct vm *vm, const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vm_request request = { .request = VHOST_USER_SET_PROTOCOL_FEATURES,
				      .size = 8,
				      .payload.u64 = 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK };
	struct vm_request owner = { .request = VHOST_USER_SET_OWNER };

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
		vm_ask_u64(vm, VHOST_USER_GET_FEATURES) &
		(VM_FEATURES | vm->options.features | 1ull << VHOST_USER_F_PROTOCOL_FEATURES);
	assert_int_equal(vm_ask_u64(vm, VHOST_USER_GET_PROTOCOL_FEATURES) & request.payload.u64,
			 request.payload.u64);
	vm_say(vm, &request, -1);
	vm_tell(vm, &owner, -1);
	vm_tell_u64(vm, VHOST_USER_SET_FEATURES, vm->features, -1);
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
	struct vm_request request = { .request = VHOST_USER_SET_MEM_TABLE, .size = 40 };

	if (!vm->options.memory_bytes)
		vm->options.memory_bytes = VM_MEMORY_BYTES;
	if (!vm->memory.count)
		open_memory(vm);
	request.payload.memory.count = 1;
	request.payload.memory.guest_addr = VM_MEMORY_ADDR;
	request.payload.memory.bytes = vm->memory.region[0].bytes;
	request.payload.memory.user_addr = VM_MEMORY_ADDR + MOCK_USER_OFFSET;
	vm_tell(vm, &request, vm->memory.region[0].fd);
}

/* Says all of a ring that there is. */
static void tell_ring(struct vm *vm, struct vm_ring *ring, unsigned int index, uint16_t base)
{
	struct vm_request request = { .request = VHOST_USER_SET_VRING_ADDR, .size = 40 };
	struct ring_config config = mock_driver_config(&ring->driver);
	uint64_t offset = vm->options.iommu ? MOCK_USER_OFFSET : 0;

	vm_tell_state(vm, VHOST_USER_SET_VRING_NUM, index, ring->driver.size);
	vm_tell_state(vm, VHOST_USER_SET_VRING_BASE, index, base);
	request.payload.addr.index = index;
	request.payload.addr.desc = config.desc_addr - offset;
	request.payload.addr.avail = config.avail_addr - offset;
	request.payload.addr.used = config.used_addr - offset;
	vm_tell(vm, &request, -1);
	vm_tell_u64(vm, VHOST_USER_SET_VRING_KICK, index, ring->kick_fd);
	vm_tell_u64(vm, VHOST_USER_SET_VRING_CALL, index, ring->call_fd);
	vm_tell_u64(vm, VHOST_USER_SET_VRING_ERR, index, ring->err_fd);
	vm_tell_state(vm, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

void vm_enable(struct vm *vm, unsigned int index, bool on)
{
	vm_tell_state(vm, VHOST_USER_SET_VRING_ENABLE, index, on);
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
		vm_share_channel(vm);
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
	struct vm_request request = { .request = number, .size = 8, .payload.state = { index, 0 } };

	vm_say(vm, &request, -1);
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
	struct vm_request reply;

	vm_hear(vm, &reply);
	assert_int_equal(reply.payload.state.index, index);
	return (uint16_t)reply.payload.state.num;
}

void vm_reset_owner(struct vm *vm)
{
	struct vm_request request = { .request = VHOST_USER_RESET_OWNER };

	vm_tell(vm, &request, -1);
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
	vm_close_inflight(vm);
	memset(vm, 0, sizeof(*vm));
	vm->fd = -1;
}
