/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin for DPDK's programs: a port that throws away what it is given reads it before.
 *
 * DPDK's net_null frees what it gets, or copies the first bytes of it. To be compared with
 * our null device with read=on it has to read all of each frame, and by the same lines
 * (drivers/null/read_bytes.h). So this stands in front of it, as a transmit callback, which is
 * DPDK's own way to do such a thing. Loaded with `-d dpdk_read.so`, and told by telemetry:
 *
 *	/guestwire/read,net_null0	"reading", or why not (yet)
 *	/guestwire/read			"FRAMES BYTES SUM" of what was read until now
 *
 * It goes for one queue of one port.
 */
#include "read_bytes.h"
#include <inttypes.h>
#include <rte_ethdev.h>
#include <rte_telemetry.h>
#include <stdio.h>

#define COMMAND   "/guestwire/read"
#define SAY_BYTES 128

/* One lcore forwards, so one writer. */
static struct {
	const struct rte_eth_rxtx_callback *hook;
	uint64_t frames, bytes, sum;
} reader;

static uint16_t read_burst(uint16_t port, uint16_t queue, struct rte_mbuf *frames[], uint16_t count,
			   void *arg)
{
	for (uint16_t i = 0; i < count; i++) {
		const struct rte_mbuf *m = frames[i];

		reader.bytes += m->pkt_len;
		for (; m; m = m->next)
			reader.sum += read_bytes(rte_pktmbuf_mtod(m, const void *), m->data_len);
	}
	reader.frames += count;
	return count;
}

static const char *begin(const char *name)
{
	uint16_t port;

	if (reader.hook)
		return "reading";
	if (rte_eth_dev_get_port_by_name(name, &port))
		return "no such port";
	reader.hook = rte_eth_add_tx_callback(port, 0, read_burst, NULL);
	return reader.hook ? "reading" : "the port is not set up";
}

static int serve(const char *command, const char *name, struct rte_tel_data *answer)
{
	char text[SAY_BYTES];

	if (name && *name)
		return rte_tel_data_string(answer, begin(name));
	snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %" PRIu64, reader.frames,
		 reader.bytes, reader.sum);
	return rte_tel_data_string(answer, text);
}

RTE_INIT(dpdk_read_init)
{
	rte_telemetry_register_cmd(COMMAND, serve,
				   "Reads all that a port is given. Parameter: "
				   "its name, to begin");
}
