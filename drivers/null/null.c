/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The null driver: a sink. It accepts every frame and reads none; with read=on it
 * reads each byte, as a receiver would, and forgets it.
 *
 * It is the smallest complete driver, so a template for a new one, and the
 * device to measure everything in front of a driver with. A loan to it is over
 * when tx returns, hence no reap; nothing comes out of it, hence no rx.
 */
#include "read_bytes.h"
#include <errno.h>
#include <guestwire/driver.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const offload_words[] = { "all", "checksum", "none", NULL };
static const uint32_t offload_bits[] = { GW_OFFLOAD_ALL, GW_OFFLOAD_CSUM, 0 };
static const char *const read_words[] = { "off", "on", NULL };

/* A port's: does it read, and what that came to, which nobody asks for. */
struct null {
	bool reads;
	uint64_t sum;
};

static const struct gw_option null_options[] = {
	{ "offloads", "all|checksum|none", "all",
	  "what is left to it; all else is done in software before it gets a frame" },
	{ "read", "off|on", "off", "read each byte of what it gets, and forget it" },
	{ NULL, NULL, NULL, NULL },
};

/* Makes sure that the options can be read. */
static int null_open(struct gw_port *port, struct gw_error *err)
{
	unsigned int word, reads;
	struct null *null;
	int ret = gw_port_option_word(port, "offloads", offload_words, &word, err);

	if (!ret)
		ret = gw_port_option_word(port, "read", read_words, &reads, err);
	if (ret)
		return ret;
	null = calloc(1, sizeof(*null));
	if (!null)
		return gw_error_set(err, -ENOMEM, "no memory for a sink");
	null->reads = reads;
	gw_port_set_priv(port, null);
	return 0;
}

static bool is_reader(const struct gw_port *port)
{
	return ((const struct null *)gw_port_priv(port))->reads;
}

static int null_start(struct gw_port *port, struct gw_error *err)
{
	struct gw_offloads offloads = { 0 };
	unsigned int word;
	int ret = gw_port_option_word(port, "offloads", offload_words, &word, err);

	if (ret)
		return ret;
	offloads.takes = offload_bits[word];
	gw_port_set_offloads(port, &offloads);
	gw_port_set_max_len(port, GW_FRAME_LEN_MAX);
	gw_port_set_reads(port, is_reader(port) ? GW_READS_DMA : GW_READS_NOTHING);
	gw_port_set_status(port, is_reader(port) ? "reading and discarding" : "discarding");
	return 0;
}

static int null_stop(struct gw_port *port, unsigned int deadline_ms)
{
	gw_port_set_status(port, "stopped");
	return 0;
}

static void null_close(struct gw_port *port)
{
	free(gw_port_priv(port));
	gw_port_set_priv(port, NULL);
}

static void null_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	bool reads = is_reader(port);

	/* Reading stands for a device that does it by itself, and is over in tx. */
	*answer = (struct gw_answer){
		.verdict = GW_YES,
		.reads = reads ? GW_READS_DMA : GW_READS_NOTHING,
		.ends_in_tx = true,
		.max_segs = GW_FRAME_SEGS_MAX,
	};
	snprintf(answer->text, sizeof(answer->text), "frames are %s",
		 reads ? "read and discarded" : "discarded, nobody reads them");
}

static void read_frame(struct null *null, const struct gw_frame *frame)
{
	for (unsigned int i = 0; i < frame->seg_count; i++)
		null->sum += read_bytes(frame->seg[i].iov_base, frame->seg[i].iov_len);
}

static unsigned int null_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			    unsigned int count)
{
	struct null *null = gw_port_priv(queue->port);

	for (unsigned int i = 0; null->reads && i < count; i++)
		read_frame(null, frames[i]);
	return count;
}

const struct gw_driver gw_driver_null = {
	.name = "null",
	.several_queues = true,
	.help = "a sink: every frame is discarded, at no cost",
	.options = null_options,
	.open = null_open,
	.start = null_start,
	.stop = null_stop,
	.close = null_close,
	.query = null_query,
	.tx = null_tx,
};
