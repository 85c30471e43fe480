/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* One datagram of a page, but for what the headers need of the MTU's 1500. */
#define DATAGRAM_BYTES 1400u
#define CHUNK_BYTES    (64u << 10)
#define OPEN_CALLS_MAX 32u

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("guest-tool: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static uint64_t number(const char *word)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(word, &end, 0);
	if (errno || *end || end == word)
		die("'%s' is no number", word);
	return value;
}

/* udp ADDRESS PORT PAGES: a datagram from the beginning of each of so many pages. */
static void send_datagrams(char **arg)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), count = number(arg[2]);
	struct zerocopy zc;
	char *memory = pages_alloc(count * page_bytes);

	pages_fill(memory, count * page_bytes, 1, 0);
	pages_print(memory, count * page_bytes);
	zerocopy_open(&zc, SOCK_DGRAM, arg[0], arg[1]);
	for (size_t i = 0; i < count; i++)
		zerocopy_send(&zc, memory + i * page_bytes, DATAGRAM_BYTES);
	zerocopy_wait(&zc, 0);
	printf("completions calls=%u completed=%u copied=%u\n", zc.sent, zc.completed, zc.copied);
}

/* tcp ADDRESS PORT PAGES: so many pages as one stream. */
static void send_pages(char **arg)
{
	size_t bytes = number(arg[2]) * (size_t)sysconf(_SC_PAGESIZE);
	struct zerocopy zc;
	char *memory = pages_alloc(bytes);

	pages_fill(memory, bytes, 1, 0);
	pages_print(memory, bytes);
	zerocopy_open(&zc, SOCK_STREAM, arg[0], arg[1]);
	zerocopy_send(&zc, memory, bytes);
	zerocopy_finish(&zc);
}

/* sendfile ADDRESS PORT PAGES: the same from a file of the page cache. */
static void send_file(char **arg)
{
	static const char path[] = "/tmp/guest-tool.file";
	size_t bytes = number(arg[2]) * (size_t)sysconf(_SC_PAGESIZE);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t offset = 0;
	struct zerocopy zc;
	void *memory;

	if (fd < 0 || unlink(path) < 0 || ftruncate(fd, (off_t)bytes) < 0)
		die("'%s': %s", path, strerror(errno));
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mapping '%s': %s", path, strerror(errno));
	pages_fill(memory, bytes, 1, 0);
	pages_print(memory, bytes);
	zerocopy_open(&zc, SOCK_STREAM, arg[0], arg[1]);
	while ((size_t)offset < bytes)
		if (sendfile(zc.fd, fd, &offset, bytes - (size_t)offset) <= 0)
			die("sendfile: %s", strerror(errno));
	zerocopy_finish(&zc);
}

/* stream ADDRESS PORT MIB SEED: much fresh memory, filled and sent from where it is. */
static void send_stream(char **arg)
{
	size_t bytes = number(arg[2]) << 20;
	uint64_t seed = number(arg[3]);
	struct zerocopy zc;
	char *memory = pages_alloc(bytes);

	pages_fill(memory, bytes, seed, 0);
	zerocopy_open(&zc, SOCK_STREAM, arg[0], arg[1]);
	for (size_t at = 0; at < bytes; at += CHUNK_BYTES) {
		zerocopy_wait(&zc, OPEN_CALLS_MAX);
		zerocopy_send(&zc, memory + at, CHUNK_BYTES);
	}
	zerocopy_finish(&zc);
}

static const struct {
	const char *name;
	int args;
	void (*run)(char **arg);
} commands[] = {
	{ "udp", 3, send_datagrams },
	{ "tcp", 3, send_pages },
	{ "sendfile", 3, send_file },
	{ "stream", 4, send_stream },
	/* until SIGTERM */
	{ "duplex", 3, duplex },
	{ "flood", 2, flood },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (argc == commands[i].args + 2 && !strcmp(argv[1], commands[i].name)) {
			commands[i].run(argv + 2);
			return 0;
		}
	die("usage: udp|tcp|sendfile ADDRESS PORT PAGES, stream ADDRESS PORT MIB SEED, "
	    "duplex ADDRESS PORT SEED, or flood ADDRESS PORT");
}
