/* SPDX-License-Identifier: BSD-2-Clause */
#include <guestwire/reason.h>

#define REASON_NAME(id, name, text) [id] = name,
#define REASON_TEXT(id, name, text) [id] = text,

/* clang-format off */
static const char *const reason_names[GW_REASON_COUNT] = {
	[GW_REASON_NONE] = "none",
	GW_COPY_REASONS(REASON_NAME) GW_DROP_REASONS(REASON_NAME)
};

static const char *const reason_texts[GW_REASON_COUNT] = {
	[GW_REASON_NONE] = "lent, or delivered",
	GW_COPY_REASONS(REASON_TEXT) GW_DROP_REASONS(REASON_TEXT)
};

static const char *const device_names[GW_DEVICE_COUNT] = { GW_DEVICE_COUNTS(REASON_NAME) };
static const char *const device_texts[GW_DEVICE_COUNT] = { GW_DEVICE_COUNTS(REASON_TEXT) };
/* clang-format on */

const char *gw_reason_name(enum gw_reason reason)
{
	return (unsigned int)reason < GW_REASON_COUNT ? reason_names[reason] : "unknown";
}

const char *gw_reason_text(enum gw_reason reason)
{
	return (unsigned int)reason < GW_REASON_COUNT ? reason_texts[reason] : "unknown";
}

const char *gw_device_count_name(enum gw_device_count count)
{
	return (unsigned int)count < GW_DEVICE_COUNT ? device_names[count] : "unknown";
}

const char *gw_device_count_text(enum gw_device_count count)
{
	return (unsigned int)count < GW_DEVICE_COUNT ? device_texts[count] : "unknown";
}
