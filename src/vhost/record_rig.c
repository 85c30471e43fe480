/* SPDX-License-Identifier: BSD-2-Clause */
#include "record_rig.h"

#include "fd.h"
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int record_rig_setup(void **state)
{
	static const struct mock_region region = { .bytes = RECORD_RIG_MEMORY };
	struct record_rig *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/record_file_test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dir_fd = record_dir_open(f->dir, NULL);
	assert_true(f->dir_fd >= 0);
	mock_memory_open(&f->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&f->driver, &f->memory, RECORD_RIG_SIZE, RECORD_RIG_ADDR, 0, 0);
	f->config = mock_driver_config(&f->driver);
	*state = f;
	return 0;
}

bool record_rig_find(const struct record_rig *f, char *path, size_t size)
{
	char command[128], name[128] = "";
	FILE *list;

	snprintf(command, sizeof(command), "ls %s", f->dir);
	list = popen(command, "r");
	assert_non_null(list);
	if (fgets(name, sizeof(name), list))
		name[strcspn(name, "\n")] = '\0';
	pclose(list);
	snprintf(path, size, "%s/%s", f->dir, name);
	return name[0];
}

bool record_rig_has_file(const struct record_rig *f)
{
	const struct dirent *entry;
	DIR *dir = opendir(f->dir);
	bool found = false;

	assert_non_null(dir);
	while (!found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.';
	closedir(dir);
	return found;
}

int record_rig_teardown(void **state)
{
	struct record_rig *f = *state;
	char path[256];

	mock_driver_close(&f->driver);
	mock_memory_close(&f->memory);
	while (record_rig_find(f, path, sizeof(path)))
		assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(f->dir), 0);
	gw_fd_close(&f->dir_fd);
	free(f);
	return 0;
}

struct record_file *record_rig_file(const struct record_rig *f)
{
	struct record_file *file;
	struct gw_error err = { 0 };

	if (record_file_open(f->dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &file, &err))
		fail_msg("%s", err.text);
	return file;
}

void record_rig_begin(void *record, const struct ring_config *config)
{
	struct ring_config with_record = *config;
	struct gw_error err = { 0 };
	struct ring *ring;

	with_record.record = record;
	if (ring_create(&with_record, &ring, &err))
		fail_msg("%s", err.text);
	ring_destroy(ring);
}

bool record_rig_continues(struct record_file *file, const struct ring_config *config)
{
	struct gw_error err = { 0 };
	void *record;
	bool result;

	record = record_file_ring(file, 1, config, &result, &err);
	if (!record)
		fail_msg("%s", err.text);
	if (!result)
		record_rig_begin(record, config);
	return result;
}

void record_rig_die(const struct record_rig *f, void (*live)(const struct record_rig *, void *))
{
	struct record_file *file;
	struct gw_error err;
	void *record;
	bool known;
	int status;
	pid_t pid = fork();

	if (!pid) {
		file = record_rig_file(f);
		record = record_file_ring(file, 1, &f->config, &known, &err);
		if (record && !known)
			record_rig_begin(record, &f->config);
		if (record && live)
			live(f, record);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void record_rig_take_three(const struct record_rig *f, void *record)
{
	struct ring_config config = f->config;
	struct ring_chain chain[3];
	struct iovec seg[2];
	struct ring *ring;

	config.record = record;
	if (ring_create(&config, &ring, NULL))
		_exit(1);
	for (int i = 0; i < 3; i++)
		if (ring_pop(ring, &chain[i], seg, 2) != 1)
			_exit(1);
	ring_push(ring, chain[1].head, 0);
	ring_flush(ring);
	ring_push(ring, chain[0].head, 0); /* never shown */
}

void record_rig_offer_five(struct record_rig *f, int *heads)
{
	struct mock_buffer buffer = { 0x8000, 64, false };
	int head;

	for (int i = 0; i < 5; i++) {
		head = mock_chain(&f->driver, &buffer, 1);
		mock_offer(&f->driver, (uint16_t)head);
		if (heads)
			heads[i] = head;
	}
	mock_publish(&f->driver);
}
