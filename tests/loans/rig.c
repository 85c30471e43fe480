/* SPDX-License-Identifier: BSD-2-Clause */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void log_line(void *arg, int level, const char *line)
{
	if (getenv("GW_TEST_LOG"))
		print_message("%s\n", line);
}

void rig_start(struct rig *rig, const char *const *ports)
{
	rig_start_with(rig, ports, RIG_STOP_MS);
}

void rig_start_with(struct rig *rig, const char *const *ports, unsigned int stop_ms)
{
	struct gw_options options = { .size = sizeof(options),
				      .stop_ms = stop_ms,
				      .log = log_line };
	const bool spread = getenv("GW_TEST_SPREAD");
	struct gw_error err = { 0 };

	options.workers = spread ? 2 : 1;
	snprintf(rig->folder, sizeof(rig->folder), "/tmp/gw-loans-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	assert_int_equal(gw_open(&options, &rig->context, &err), 0);
	for (; *ports; ports++) {
		const char *mark = strstr(*ports, "%s");
		char spec[256];

		if (mark)
			snprintf(spec, sizeof(spec), "%.*s%s%s%s", (int)(mark - *ports), *ports,
				 rig->folder, mark + 2,
				 spread && **ports == 'a' ? ",worker=1" : "");
		else
			snprintf(spec, sizeof(spec), "%s", *ports);
		if (gw_port_add(rig->context, spec, &err))
			fail_msg("%s", err.text);
	}
	if (gw_start(rig->context, &err))
		fail_msg("%s", err.text);
}

int rig_stop(struct rig *rig)
{
	return gw_stop(rig->context, 1000);
}

void rig_free(struct rig *rig)
{
	gw_close(rig->context);
	rig->context = NULL;
	rmdir(rig->folder);
}

void rig_guest_with(struct rig *rig, struct vm *vm, const char *name,
		    const struct vm_options *options)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", rig->folder, name);
	vm_start_with(vm, path, options);
}

void rig_guest(struct rig *rig, struct vm *vm, const char *name)
{
	rig_guest_with(rig, vm, name, &(struct vm_options){ 0 });
}

struct gw_pair_info rig_pair(struct rig *rig, const char *source, const char *egress)
{
	struct gw_pair_info info = { 0 };
	struct gw_snapshot *snapshot;
	bool found = false;

	assert_int_equal(gw_snapshot_take(rig->context, &snapshot), 0);
	for (unsigned int i = 0; i < snapshot->pair_count; i++) {
		if (strcmp(snapshot->pairs[i].source, source) ||
		    strcmp(snapshot->pairs[i].egress, egress))
			continue;
		info = snapshot->pairs[i];
		found = true;
	}
	gw_snapshot_free(snapshot);
	assert_true(found);
	return info;
}

struct gw_port_info rig_port(struct rig *rig, const char *name)
{
	struct gw_port_info info = { 0 };
	struct gw_snapshot *snapshot;
	bool found = false;

	assert_int_equal(gw_snapshot_take(rig->context, &snapshot), 0);
	for (unsigned int i = 0; i < snapshot->port_count; i++) {
		if (strcmp(snapshot->ports[i].name, name))
			continue;
		info = snapshot->ports[i];
		found = true;
	}
	gw_snapshot_free(snapshot);
	assert_true(found);
	info.status = NULL; /* went with the snapshot */
	return info;
}

struct pair_wait {
	struct rig *rig;
	const char *source, *egress;
	uint64_t count;
};

static bool answered(void *arg)
{
	struct pair_wait *wait = arg;
	struct gw_pair_info info = rig_pair(wait->rig, wait->source, wait->egress);

	return info.asked &&
	       !(info.answer.verdict == GW_NO && info.answer.reason == GW_COPY_MAPPING_PENDING);
}

void rig_settle(struct rig *rig, struct vm *vm, const char *source, const char *egress)
{
	struct pair_wait wait = { rig, source, egress, 0 };
	uint8_t frame[64];

	vm_frame(frame, sizeof(frame), 0xee, 0xe0, 0);
	vm_send(vm, frame, sizeof(frame));
	vm_wait_used(vm);
	vm_wait(answered, &wait, "the driver's answer to the query");
}

static bool decided(void *arg)
{
	struct pair_wait *wait = arg;
	struct gw_pair_info info = rig_pair(wait->rig, wait->source, wait->egress);
	uint64_t sum = info.lent_frames + info.copied_frames;

	for (unsigned int r = GW_DROP_FIRST; r < GW_REASON_COUNT; r++)
		sum += info.reasons[r];
	return sum >= wait->count;
}

void rig_wait_decided(struct rig *rig, const char *source, const char *egress, uint64_t count)
{
	struct pair_wait wait = { rig, source, egress, count };

	vm_wait(decided, &wait, "frames to be lent, copied or dropped");
}

struct held_wait {
	struct loop *loop;
	unsigned int count;
};

static bool held_is(void *arg)
{
	struct held_wait *wait = arg;

	return loop_test_held(wait->loop) == wait->count;
}

void rig_wait_held(struct loop *loop, unsigned int count)
{
	struct held_wait wait = { loop, count };

	vm_wait(held_is, &wait, "the device to hold so many frames");
}

uint16_t rig_send(struct vm *vm, uint8_t destination, uint8_t fill)
{
	uint8_t frame[RIG_LEN];

	vm_frame(frame, RIG_LEN, destination, 0xe0, fill);
	return vm_send(vm, frame, RIG_LEN);
}

void rig_fill_up(struct rig *rig, struct vm *vm, struct loop *loop, const char *source,
		 const char *egress, unsigned int loans)
{
	uint8_t frame[RIG_LEN];

	loop_test_hold(loop, true);
	vm_frame(frame, RIG_LEN, 0xd0, 0xe0, 0);
	for (unsigned int i = 0; i < loans; i++)
		vm_send_later(vm, frame, RIG_LEN);
	vm_publish(vm);
	rig_wait_held(loop, loans);
	assert_int_equal(rig_pair(rig, source, egress).loans_out, loans);
}
