/* SPDX-License-Identifier: BSD-2-Clause */
/* The probe: each interface goes to each driver, and what they find is put together. */
#include <guestwire/probe.h>

#include "driver_table.h"
#include "probe_device.h"
#include "probe_host.h"
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

/* One allocation each: the report, its devices, and a list for the host and each device. */
struct report_block {
	struct gw_probe_report report;
	struct gw_probe_device *devices;
	struct finding_list *lists; /* the host's first */
};

static void ask_drivers(const struct gw_probe_question *question)
{
	for (const struct gw_driver *const *driver = gw_driver_table; *driver; driver++)
		if ((*driver)->probe)
			(*driver)->probe(question);
}

static struct report_block *block_create(unsigned int devices)
{
	struct report_block *block = calloc(1, sizeof(*block));

	if (!block)
		return NULL;
	block->devices = calloc(devices + 1, sizeof(*block->devices));
	block->lists = calloc(devices + 1, sizeof(*block->lists));
	block->report.devices = block->devices;
	if (block->devices && block->lists)
		return block;
	gw_probe_free(&block->report);
	return NULL;
}

static void probe_host(struct report_block *block, bool attempt)
{
	struct gw_probe_report *report = &block->report;
	const struct gw_probe_question question = { .host = &report->host,
						    .attempt = attempt,
						    .sink = &block->lists[0],
						    .found = finding_keep };

	probe_host_read(&report->host);
	probe_host_findings(&question);
	ask_drivers(&question);
	report->attempted = attempt;
	report->findings = block->lists[0].finding;
	report->finding_count = block->lists[0].count;
}

static int probe_device(struct report_block *block, const char *ifname, struct gw_error *err)
{
	struct gw_probe_report *report = &block->report;
	struct gw_probe_device *device = &block->devices[report->device_count];
	struct finding_list *list = &block->lists[1 + report->device_count];
	const struct gw_probe_question question = { .host = &report->host,
						    .device = device,
						    .attempt = report->attempted,
						    .sink = list,
						    .found = finding_keep };
	int rc = probe_device_read(ifname, device);

	if (rc == -ENODEV)
		return gw_error_set(err, rc,
				    "interface %s: there is none of that name in this network "
				    "namespace (see ip link)",
				    ifname);
	if (rc)
		return gw_error_sys(err, rc, "interface %s: reading what it is", ifname);
	ask_drivers(&question);
	probe_device_findings(&question);
	device->findings = list->finding;
	device->finding_count = list->count;
	report->device_count++;
	return 0;
}

static unsigned int count_of(const struct if_nameindex *names)
{
	unsigned int count = 0;

	while (names[count].if_name)
		count++;
	return count;
}

static int probe_all(bool attempt, struct report_block **block, struct gw_error *err)
{
	struct if_nameindex *names = if_nameindex();
	struct report_block *made;
	int rc = 0;

	if (!names)
		return gw_error_sys(err, -errno, "listing the interfaces");
	*block = made = block_create(count_of(names));
	if (!made) {
		if_freenameindex(names);
		return gw_error_sys(err, -ENOMEM, "probe");
	}
	probe_host(made, attempt);
	/* One that goes away meanwhile is not there. */
	for (unsigned int i = 0; !rc && names[i].if_name; i++) {
		rc = probe_device(made, names[i].if_name, err);
		if (rc == -ENODEV)
			rc = 0;
	}
	if_freenameindex(names);
	return rc;
}

static int probe_one(const char *ifname, bool attempt, struct report_block **block,
		     struct gw_error *err)
{
	*block = block_create(1);
	if (!*block)
		return gw_error_sys(err, -ENOMEM, "probe");
	probe_host(*block, attempt);
	return probe_device(*block, ifname, err);
}

int gw_probe(const struct gw_probe_options *given, struct gw_probe_report **report,
	     struct gw_error *err)
{
	struct gw_probe_options options = { .size = sizeof(options) };
	struct report_block *block = NULL;
	int rc;

	*report = NULL;
	if (given) {
		if (given->size < sizeof(given->size) || given->size > sizeof(options))
			return gw_error_set(err, -EINVAL,
					    "gw_probe_options.size is %zu; expected %zu",
					    given->size, sizeof(options));
		memcpy(&options, given, given->size);
	}
	rc = options.ifname ? probe_one(options.ifname, options.attempt, &block, err)
			    : probe_all(options.attempt, &block, err);
	if (rc) {
		gw_probe_free(block ? &block->report : NULL);
		return rc;
	}
	*report = &block->report;
	return 0;
}

void gw_probe_free(struct gw_probe_report *report)
{
	struct report_block *block = (struct report_block *)report;

	if (!block)
		return;
	free(block->devices);
	free(block->lists);
	free(block);
}
