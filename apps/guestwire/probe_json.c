/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_json.h"

#include <guestwire/guestwire.h>
#include <jansson.h>

static json_t *text(const char *value)
{
	json_t *json = value ? json_string(value) : NULL;

	return json ? json : json_null();
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* All ways in which the device might turn out to read. */
static json_t *reads(uint32_t set)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < 32; i++)
		if (set & GW_READS_BIT(i))
			json_array_append_new(array, text(gw_reads_name((enum gw_reads)i)));
	return array;
}

static json_t *findings(const struct gw_finding *finding, unsigned int count)
{
	json_t *array = json_array();

	for (; count; count--, finding++) {
		json_t *one = json_object();

		json_object_set_new(one, "path", text(finding->path));
		json_object_set_new(one, "subject", text(finding->subject));
		json_object_set_new(one, "verdict", text(gw_found_name(finding->found)));
		json_object_set_new(one, "how", text(gw_found_how_name(finding->how)));
		json_object_set_new(one, "errno", number((uint64_t)-finding->code));
		json_object_set_new(one, "device_reads", reads(finding->reads));
		json_object_set_new(one, "max_len", number(finding->max_len));
		json_object_set_new(one, "via", text(finding->via));
		json_object_set_new(one, "text", text(finding->text));
		json_object_set_new(one, "remedy", text(finding->remedy));
		json_array_append_new(array, one);
	}
	return array;
}

static json_t *hugepages(const struct gw_probe_host *host)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < host->page_size_count; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "page_bytes", number(host->hugepages[i].page_bytes));
		json_object_set_new(one, "total", number(host->hugepages[i].total));
		json_object_set_new(one, "free", number(host->hugepages[i].free));
		json_array_append_new(array, one);
	}
	return array;
}

static json_t *host_object(const struct gw_probe_report *report)
{
	const struct gw_probe_host *host = &report->host;
	json_t *json = json_object();

	json_object_set_new(json, "kernel", text(host->kernel));
	json_object_set_new(json, "user", number(host->user));
	json_object_set_new(json, "initial_user_namespace", json_boolean(host->init_user_ns));
	json_object_set_new(json, "net_admin", json_boolean(host->net_admin));
	json_object_set_new(json, "net_raw", json_boolean(host->net_raw));
	json_object_set_new(json, "bpf", json_boolean(host->bpf));
	json_object_set_new(json, "ipc_lock", json_boolean(host->ipc_lock));
	json_object_set_new(json, "memlock_bytes",
			    host->memlock_bytes == GW_PROBE_NO_LIMIT ? json_null()
								     : number(host->memlock_bytes));
	json_object_set_new(json, "hugepages", hugepages(host));
	json_object_set_new(json, "findings", findings(report->findings, report->finding_count));
	return json;
}

static json_t *device_object(const struct gw_probe_device *device)
{
	json_t *json = json_object();

	json_object_set_new(json, "name", text(device->name));
	json_object_set_new(json, "index", number(device->index));
	json_object_set_new(json, "mtu", number(device->mtu));
	json_object_set_new(json, "up", json_boolean(device->up));
	json_object_set_new(json, "driver", text(device->driver));
	json_object_set_new(json, "bus", text(device->bus));
	json_object_set_new(json, "scatter_gather", json_boolean(device->scatter_gather));
	json_object_set_new(json, "findings", findings(device->findings, device->finding_count));
	return json;
}

void probe_json(FILE *out, const struct gw_probe_report *report)
{
	json_t *json = json_object(), *devices = json_array();

	for (unsigned int i = 0; i < report->device_count; i++)
		json_array_append_new(devices, device_object(&report->devices[i]));
	json_object_set_new(json, "version", text(gw_version()));
	json_object_set_new(json, "tried", json_boolean(report->attempted));
	json_object_set_new(json, "host", host_object(report));
	json_object_set_new(json, "devices", devices);
	json_dumpf(json, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(json);
}
