/* SPDX-License-Identifier: BSD-2-Clause */
#include "super_rig.h"

#include <stdlib.h>

void sent_open(struct sent *sent, const struct mock_super *super, uint32_t len, uint32_t step)
{
	unsigned int count = 0;

	if (!step)
		step = len;
	sent->bytes = malloc(len);
	assert_non_null(sent->bytes);
	memcpy(sent->bytes, super->bytes, len);
	for (uint32_t at = 0; at < len; at += step) {
		/* What is too much for the array goes into the last. */
		bool last = ++count == SEGS_MAX || len - at <= step;

		sent->seg[count - 1].iov_base = sent->bytes + at;
		sent->seg[count - 1].iov_len = last ? len - at : step;
		if (last)
			break;
	}
	sent->frame = (struct gw_frame){
		.seg = sent->seg,
		.seg_count = (uint16_t)count,
		.len = len,
		.header = super->header,
	};
	memcpy(sent->frame.snapshot, super->bytes, GW_FRAME_SNAPSHOT);
}

void sent_close(struct sent *sent)
{
	free(sent->bytes);
}
