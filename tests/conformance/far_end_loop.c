/* SPDX-License-Identifier: BSD-2-Clause */
/* The far end of a loop port: its simulated wire. */
#include "conformance.h"
#include "loop_test_api.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define KEPT_FRAMES 256u

struct kept {
	uint8_t *bytes;
	uint32_t len;
	struct virtio_net_hdr_v1 header;
};

/* Frames off the wire, a ring; what finds no room is lost, as on a wire. */
struct wire {
	struct loop *loop;
	struct kept kept[KEPT_FRAMES];
	unsigned int head, count;
};

static void on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		    const struct virtio_net_hdr_v1 *header)
{
	struct wire *wire = arg;
	struct kept *kept = &wire->kept[(wire->head + wire->count) % KEPT_FRAMES];

	if (wire->count == KEPT_FRAMES)
		return;
	kept->bytes = malloc(len);
	assert_non_null(kept->bytes);
	memcpy(kept->bytes, bytes, len);
	kept->len = len;
	kept->header = *header;
	wire->count++;
}

static void *wire_open(const char *name)
{
	struct wire *wire = calloc(1, sizeof(*wire));

	assert_non_null(wire);
	wire->loop = loop_test_find(name);
	if (!wire->loop)
		fail_msg("far end: no loop port %s", name);
	loop_test_wire(wire->loop, (struct loop_wire){ on_wire, wire });
	return wire;
}

static uint32_t wire_receive_partial(void *far, uint8_t *bytes, size_t size,
				     struct virtio_net_hdr_v1 *header, unsigned int timeout_ms)
{
	struct wire *wire = far;
	struct kept *kept = &wire->kept[wire->head];
	uint32_t len = kept->len;

	/* There is no thread behind this wire: what is not there will not come. */
	if (!wire->count)
		return 0;
	assert_true(len <= size);
	memcpy(bytes, kept->bytes, len);
	*header = kept->header;
	free(kept->bytes);
	wire->head = (wire->head + 1) % KEPT_FRAMES;
	wire->count--;
	return len;
}

static uint32_t wire_receive(void *far, uint8_t *bytes, size_t size, unsigned int timeout_ms)
{
	struct virtio_net_hdr_v1 header;

	return wire_receive_partial(far, bytes, size, &header, timeout_ms);
}

static void wire_send_partial(void *far, const uint8_t *bytes, uint32_t len,
			      const struct virtio_net_hdr_v1 *header)
{
	struct wire *wire = far;

	loop_test_receive(wire->loop, bytes, len, header);
}

static void wire_send(void *far, const uint8_t *bytes, uint32_t len)
{
	wire_send_partial(far, bytes, len, NULL);
}

static void wire_open_partial(void *far)
{
}

static void wire_close(void *far)
{
	struct wire *wire = far;
	uint8_t bytes[GW_FRAME_LEN_MAX];

	loop_test_wire(wire->loop, (struct loop_wire){ NULL, NULL });
	while (wire_receive(wire, bytes, sizeof(bytes), 0))
		;
	free(wire);
}

const struct far_end far_end_loop = {
	.name = "loop",
	.open = wire_open,
	.close = wire_close,
	.receive = wire_receive,
	.send = wire_send,
	.open_partial = wire_open_partial,
	.receive_partial = wire_receive_partial,
	.send_partial = wire_send_partial,
};
