/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a configuration file. It is taken or refused with a text that
 * names the file; ports that were taken have the form that --port has.
 */
#include "fuzz.h"

#include "daemon_config.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Pieces of files, so that chance gets beyond the first line. */
static const char *const pieces[] = {
	"\n",
	"[port a]\n",
	"[port b]\n",
	"[daemon]\n",
	"driver=sink\n",
	"driver=tube\n",
	"target=/x\n",
	"mode=client\n",
	"network=red\n",
	"workers=2\n",
	"log_time=yes\n",
	"control=/c\n",
	" ; ",
	"# ",
	"\t",
	"[",
	"]",
	"=",
	":",
	"\r\n",
	"[port ",
	"\xef\xbb\xbf",
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};
#define PIECE_COUNT (sizeof(pieces) / sizeof(pieces[0]))

static void write_file(FILE *file, struct fuzz_input *input)
{
	while (input->len) {
		uint8_t choice = fuzz_u8(input);

		/* Most bytes are pieces: a single control byte ends the reading. */
		if (choice < 0xf0)
			fputs(pieces[choice % PIECE_COUNT], file);
		else
			fputc(fuzz_u8(input), file);
	}
	fflush(file);
}

static void check_ports(const struct daemon_config *config)
{
	for (unsigned int i = 0; i < config->port_count; i++) {
		CHECK(strchr(config->ports[i].spec, '='));
		CHECK(strchr(config->ports[i].spec, ':'));
		CHECK(strstr(config->ports[i].origin, ": [port "));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	struct daemon_config config = { 0 };
	struct gw_error err = { 0 };
	char path[32];
	int fd = memfd_create("config", MFD_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	CHECK(file);
	write_file(file, &input);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (daemon_config_file(&config, path, &err) < 0)
		CHECK(strstr(err.text, path));
	check_ports(&config);
	daemon_config_free(&config);
	fclose(file);
	return 0;
}
