/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

struct gw_port *fake_open(bool receives)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (host_open(&gw_driver_xdp,
		      receives ? "up=lo,txring=64,rxring=64" : "up=lo,receive=off,txring=64", &port,
		      &err))
		fail_msg("%s", err.text);
	return port;
}

struct xdp_port *fake_port(struct gw_port *port)
{
	return gw_port_priv(port);
}

void fake_second_channel(struct gw_port *port)
{
	struct xdp_port *p = fake_port(port);

	p->channel_count = 2;
	p->channel[1].p = p;
	p->channel[1].index = 1;
	assert_int_equal(tx_init(&p->channel[1], FAKE_ENTRIES), 0);
}

/* The sockets are the test's. */
void fake_close(struct gw_port *port)
{
	struct xdp_port *p = fake_port(port);

	for (unsigned int i = 0; i < p->channel_count; i++)
		p->channel[i].xsk = NULL;
	host_close(port);
}

static void ring_init(struct xsk_ring *ring, struct fake_ring *fake)
{
	ring->producer = &fake->producer;
	ring->consumer = &fake->consumer;
	ring->flags = &fake->flags;
	ring->entry = fake->entry;
	ring->size = FAKE_ENTRIES;
	ring->mask = FAKE_ENTRIES - 1;
}

void fake_init(struct fake_kernel *kernel, struct xdp_channel *ch)
{
	memset(kernel, 0, sizeof(*kernel));
	kernel->xsk.fd = -1;
	ring_init(&kernel->xsk.tx, &kernel->tx);
	ring_init(&kernel->xsk.cq, &kernel->cq);
	ring_init(&kernel->xsk.fill, &kernel->fill);
	ring_init(&kernel->xsk.rx, &kernel->rx);
	ch->xsk = &kernel->xsk;
}

struct xdp_desc fake_takes(struct fake_kernel *kernel)
{
	assert_false(fake_idle(kernel));
	kernel->tx.consumer = kernel->taken + 1;
	return kernel->tx.entry[kernel->taken++ % FAKE_ENTRIES];
}

bool fake_idle(const struct fake_kernel *kernel)
{
	return kernel->taken == kernel->tx.producer;
}

void fake_completes(struct fake_kernel *kernel, uint64_t word)
{
	assert_true(kernel->cq.producer - kernel->cq.consumer < FAKE_ENTRIES);
	((uint64_t *)kernel->cq.entry)[kernel->cq.producer++ % FAKE_ENTRIES] = word;
}

uint64_t fake_offset(uint64_t word)
{
	return (word & XSK_UNALIGNED_BUF_ADDR_MASK) + (word >> XSK_UNALIGNED_BUF_OFFSET_SHIFT);
}
