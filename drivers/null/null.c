/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The null driver: a sink. It accepts every frame and reads none.
 *
 * It is the smallest complete driver, so a template for a new one, and the
 * device to measure everything in front of a driver with. A loan to it is over
 * when tx returns, hence no reap; nothing comes out of it, hence no rx.
 */
#include <guestwire/driver.h>
#include <stdio.h>

static const char *const offload_words[] = { "all", "checksum", "none", NULL };
static const uint32_t offload_bits[] = { GW_OFFLOAD_ALL, GW_OFFLOAD_CSUM, 0 };

static const struct gw_option null_options[] = {
	{ "offloads", "all|checksum|none", "all",
	  "what is left to it; all else is done in software before it gets a frame" },
	{ NULL, NULL, NULL, NULL },
};

/* Has no state: open makes sure that the options can be read. */
static int null_open(struct gw_port *port, struct gw_error *err)
{
	unsigned int word;

	return gw_port_option_word(port, "offloads", offload_words, &word, err);
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
	gw_port_set_reads(port, GW_READS_NOTHING);
	gw_port_set_status(port, "discarding");
	return 0;
}

static int null_stop(struct gw_port *port, unsigned int deadline_ms)
{
	gw_port_set_status(port, "stopped");
	return 0;
}

static void null_close(struct gw_port *port)
{
}

static void null_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	*answer = (struct gw_answer){
		.verdict = GW_YES,
		.reads = GW_READS_NOTHING,
		.ends_in_tx = true,
		.max_segs = GW_FRAME_SEGS_MAX,
	};
	snprintf(answer->text, sizeof(answer->text), "frames are discarded, nobody reads them");
}

static unsigned int null_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			    unsigned int count)
{
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
