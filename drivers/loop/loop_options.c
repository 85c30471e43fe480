/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of a loop port: the table, and reading them. */
#include "loop_port.h"
#include <stdio.h>

#define LOOP_RING_MAX  4096u
#define LOOP_DELAY_MAX 3600000u /* ms: an hour */
#define LOOP_NTH_MAX   1000000000u

const struct gw_option loop_options[] = {
	{ "answer", "yes|partly|no", "yes", "what the device answers to the query" },
	{ "reads", "dma|fragments|kernel-copy", "dma", "how it says that it reads lent memory" },
	{ "segs", "1-1024", "64", "segments of one frame that it takes" },
	{ "ring", "1-4096", "256", "frames that it holds at most" },
	{ "max_len", "14-65562", "65562", "longest frame, bytes" },
	{ "map", "on|off|fail", "on",
	  "whether memory must be mapped for it, and whether that works" },
	{ "hold", "on|off", "off", "complete nothing until stopped" },
	{ "delay", "MS", "0", "complete each frame so long after it was taken" },
	{ "order", "fifo|reverse|random", "fifo", "order of completions that are due together" },
	{ "lose", "N", "0", "never complete each Nth frame" },
	{ "fail", "N", "0", "complete each Nth frame as not transmitted" },
	{ "duplicate", "N", "0", "complete each Nth frame twice" },
	{ "stubborn", "on|off", "off", "give nothing back when stopped" },
	{ "offloads", "none|checksum|all", "none",
	  "what it takes of partial headers; it passes them on as they are" },
	{ "header_private", "on|off", "off",
	  "takes them behind a private header only, and writes in front of that" },
	{ "one_segment", "on|off", "off", "a frame is one segment; use segs=1 with it" },
	{ "echo", "off|on|swap", "off",
	  "receive what is transmitted; swap: with its addresses swapped" },
	{ NULL, NULL, NULL, NULL },
};

static const char *const words_bool[] = { "off", "on", NULL };
static const char *const words_verdict[] = { "no", "partly", "yes", NULL }; /* enum gw_verdict */
static const char *const words_reads[] = { "kernel-copy", "fragments", "dma", NULL };
static const char *const words_map[] = { "on", "off", "fail", NULL };           /* enum loop_map */
static const char *const words_order[] = { "fifo", "reverse", "random", NULL }; /* loop_order */
static const char *const words_offloads[] = { "none", "checksum", "all", NULL };
static const uint32_t offload_bits[] = { 0, GW_OFFLOAD_CSUM, GW_OFFLOAD_ALL };
static const char *const words_echo[] = { "off", "on", "swap", NULL }; /* enum loop_echo */

static int read_words(struct loop *loop, struct loop_faults *faults, struct gw_error *err)
{
	unsigned int verdict, reads, map, hold, stubborn, order, echo_word;
	unsigned int offloads, header_private, one_segment;
	const struct {
		const char *name;
		const char *const *words;
		unsigned int *index;
	} table[] = {
		{ "answer", words_verdict, &verdict },
		{ "reads", words_reads, &reads },
		{ "map", words_map, &map },
		{ "hold", words_bool, &hold },
		{ "order", words_order, &order },
		{ "stubborn", words_bool, &stubborn },
		{ "offloads", words_offloads, &offloads },
		{ "header_private", words_bool, &header_private },
		{ "one_segment", words_bool, &one_segment },
		{ "echo", words_echo, &echo_word },
	};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int ret = gw_port_option_word(loop->port, table[i].name, table[i].words,
					      table[i].index, err);

		if (ret)
			return ret;
	}
	loop->answer.verdict = (enum gw_verdict)verdict;
	loop->answer.reason = verdict == GW_NO ? GW_COPY_DEVICE_CANNOT : GW_REASON_NONE;
	loop->answer.reads =
		verdict == GW_NO ? GW_READS_BOUNCE : (enum gw_reads)(GW_READS_KERNEL_COPY + reads);
	loop->answer.needs_map = map != LOOP_MAP_OFF;
	loop->answer_map_fails = map == LOOP_MAP_FAIL;
	loop->stubborn = stubborn;
	loop->offloads = (struct gw_offloads){
		.takes = offload_bits[offloads],
		.header_private = header_private,
		.one_segment = one_segment,
	};
	loop->echo = (enum loop_echo)echo_word;
	faults->hold = hold;
	faults->order = (enum loop_order)order;
	return 0;
}

static int read_numbers(struct loop *loop, struct loop_faults *faults, struct gw_error *err)
{
	uint64_t ring = 0, segs = 0, max_len = 0;
	const struct {
		const char *name;
		uint64_t min, max;
		uint64_t *value;
	} table[] = {
		{ "ring", 1, LOOP_RING_MAX, &ring },
		{ "segs", 1, GW_FRAME_SEGS_MAX, &segs },
		{ "max_len", GW_FRAME_LEN_MIN, GW_FRAME_LEN_MAX, &max_len },
		{ "delay", 0, LOOP_DELAY_MAX, &faults->delay_ms },
		{ "lose", 0, LOOP_NTH_MAX, &faults->lose },
		{ "fail", 0, LOOP_NTH_MAX, &faults->fail },
		{ "duplicate", 0, LOOP_NTH_MAX, &faults->duplicate },
	};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int ret = gw_port_option_u64(loop->port, table[i].name, table[i].min, table[i].max,
					     table[i].value, err);

		if (ret)
			return ret;
	}
	loop->ring = (unsigned int)ring;
	loop->segs = (unsigned int)segs;
	loop->max_len = (uint32_t)max_len;
	loop->answer.max_segs = (uint16_t)segs;
	return 0;
}

int loop_read_options(struct loop *loop, struct loop_faults *faults, struct gw_error *err)
{
	int ret = read_words(loop, faults, err);

	if (!ret)
		ret = read_numbers(loop, faults, err);
	if (!ret)
		snprintf(loop->answer.text, sizeof(loop->answer.text),
			 "simulated device, told to answer %s",
			 words_verdict[loop->answer.verdict]);
	return ret;
}
