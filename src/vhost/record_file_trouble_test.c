/* SPDX-License-Identifier: BSD-2-Clause */
/* The file in trouble: damaged, cut off, without room, raced for. */
#include "record_file.h"

#include "fd.h"
#include "memmap.h"
#include "mock_driver.h"
#include "record_rig.h"
#include "ring_record.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PACKED (1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_F_VERSION_1)

/* ---- a file that somebody wrote into ---- */

/* No byte of it may bring the ring down. */
static void damage(const struct record_rig *f, uint64_t offset, const void *bytes, size_t len)
{
	char path[256];
	int fd;

	assert_true(record_rig_find(f, path, sizeof(path)));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	gw_fd_close(&fd);
}

static void a_damaged_header_begins_anew(void **state)
{
	static const unsigned int at[] = { 0, 8, 16, 32 }; /* magic, version, stride, boot */
	struct record_rig *f = *state;
	struct record_file *file;

	for (unsigned int i = 0; i < 4; i++) {
		record_rig_die(f, NULL);
		damage(f, at[i], "x", 1);
		file = record_rig_file(f);
		assert_int_equal(record_file_deaths(file), 0);
		assert_false(record_rig_continues(file, &f->config));
		record_file_close(file);
	}
}

/* The identity is right, the record is not: begun anew by the ring, whatever is there. */
static void damage_records(struct record_rig *f, size_t record_bytes)
{
	struct ring_config config = f->config;
	unsigned int seed = 1, refused = 0;
	struct record_file *file;
	struct ring_chain chain;
	struct iovec seg[4];
	struct ring *ring;
	uint8_t *record;
	bool known;

	record_rig_offer_five(f, NULL);
	record_rig_die(f, record_rig_take_three);
	for (int round = 0; round < 2000; round++) {
		file = record_rig_file(f);
		record = record_file_ring(file, 1, &config, &known, NULL);
		assert_non_null(record);
		/* From behind the version and the size on. */
		for (int i = 0; i < 4; i++)
			record[12 + (size_t)rand_r(&seed) % (record_bytes - 12)] =
				(uint8_t)(rand_r(&seed) % 12);
		config.record = record;
		assert_int_equal(ring_create(&config, &ring, NULL), 0);
		refused += ring_record_refused(ring) != NULL;
		assert_true(ring_resubmitted(ring) <= RECORD_RIG_SIZE);
		while (ring_pop(ring, &chain, seg, 4) == 1)
			;
		ring_destroy(ring);
		record_file_close(file);
	}
	assert_true(refused > 10);
}

static void damaged_records_do_no_harm(void **state)
{
	damage_records(*state, ring_record_bytes(RECORD_RIG_SIZE, false));
}

static void damaged_records_of_packed_rings_do_no_harm(void **state)
{
	struct record_rig *f = *state;

	mock_driver_close(&f->driver);
	mock_driver_open(&f->driver, &f->memory, RECORD_RIG_SIZE, RECORD_RIG_ADDR, PACKED,
			 MOCK_PLACE_FIRST);
	f->config = mock_driver_config(&f->driver);
	damage_records(f, ring_record_bytes(RECORD_RIG_SIZE, true));
}

static void a_link_in_its_place_is_refused(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file = record_rig_file(f), *none;
	struct gw_error err;
	char path[256];

	assert_false(record_rig_continues(file, &f->config));
	record_file_close(file);
	assert_true(record_rig_find(f, path, sizeof(path)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(
		record_file_open(f->dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &none, &err),
		-ELOOP);
}

/* ---- a directory without room ---- */

#define ROOM_PAGES 6u
#define PAGE_BYTES 4096u

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	gw_fd_close(&fd);
	return ok;
}

/* A tmpfs of ROOM_PAGES over the directory, in a namespace of this process's own. */
static bool mount_small(const char *dir)
{
	char map[64], options[64];
	uid_t uid = geteuid();

	snprintf(map, sizeof(map), "0 %u 1", uid);
	snprintf(options, sizeof(options), "size=%u,mode=0700", ROOM_PAGES * PAGE_BYTES);
	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0)
		return false;
	if (uid && !write_text("/proc/self/uid_map", map))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", dir, "tmpfs", 0, options) == 0;
}

static void fill_up(int dir_fd)
{
	static const char page[PAGE_BYTES];
	int fd = openat(dir_fd, "rest", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	while (write(fd, page, sizeof(page)) > 0)
		;
	gw_fd_close(&fd);
}

/* What CHECK is to the child, which has no cmocka: the line tells which. */
#define CHILD_CHECK(cond)                                                          \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)
#define CHILD_SKIPS 77

static void live_without_room(const struct record_rig *f)
{
	struct ring_config large = f->config;
	struct record_file *file;
	struct gw_error err;
	bool known;
	int dir_fd;

	signal(SIGBUS, SIG_DFL);
	if (!mount_small(f->dir))
		_exit(CHILD_SKIPS);
	dir_fd = record_dir_open(f->dir, &err);
	CHILD_CHECK(dir_fd >= 0);
	CHILD_CHECK(!record_file_open(dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &file, &err));
	CHILD_CHECK(record_file_ring(file, 1, &f->config, &known, &err));
	record_rig_begin(record_file_ring(file, 1, &f->config, &known, &err), &f->config);
	fill_up(dir_fd);
	CHILD_CHECK(!record_file_ring(file, 0, &f->config, &known, &err));
	CHILD_CHECK(strstr(err.text, "No space left"));
	large.size = 4096;
	CHILD_CHECK(!record_file_ring(file, 2, &large, &known, &err));
	/* Rings without a record stop, and then the daemon. */
	record_file_ring_stopped(file, 0);
	record_file_ring_stopped(file, 2);
	CHILD_CHECK(!record_file_broken(file));
	record_file_close(file);
	/* The one that had room goes on. */
	CHILD_CHECK(!record_file_open(dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &file, &err));
	record_file_ring_stopped(file, 3);
	CHILD_CHECK(record_file_ring(file, 1, &f->config, &known, &err) && known);
	record_file_ring_stopped(file, 1);
	record_file_close(file);
	CHILD_CHECK(unlinkat(dir_fd, "rest", 0) == 0);
	_exit(0);
}

/* A page that is not there would have to be made for one bit of it, and cannot be. */
static void a_ring_without_room_costs_its_own_record_only(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		live_without_room(*state);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPS) {
		print_message("no tmpfs of our own can be mounted here\n");
		skip();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- two daemons, one of which goes ---- */

/* Before it was mended, one in 600 on two processors. */
#define RACES 3000u

static void *open_and_close(void *arg)
{
	const struct record_rig *f = arg;
	struct record_file *file;

	for (unsigned int i = 0; i < RACES; i++)
		if (!record_file_open(f->dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &file, NULL))
			record_file_close(file);
	return NULL;
}

/* Who has a file has the one that the next daemon will find. */
static void a_file_that_is_being_removed_is_not_taken(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file;
	unsigned int lost = 0;
	pthread_t thread;
	char path[256];

	assert_int_equal(pthread_create(&thread, NULL, open_and_close, f), 0);
	for (unsigned int i = 0; i < RACES; i++) {
		if (record_file_open(f->dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &file, NULL))
			continue;
		lost += !record_rig_has_file(f);
		record_file_close(file);
	}
	pthread_join(thread, NULL);
	assert_int_equal(lost, 0);
	assert_false(record_rig_find(f, path, sizeof(path)));
}

/* cmocka takes SIGBUS for itself at the beginning of each test. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!memmap_fault(info->si_addr))
		abort();
}

static void a_shortened_file_breaks_the_record_alone(void **state)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct mock_buffer buffer = { 0x8000, 64, false };
	struct record_rig *f = *state;
	struct ring_config config = f->config;
	struct record_file *file = record_rig_file(f);
	struct ring_chain chain;
	struct iovec seg[2];
	struct ring *ring;
	char path[256];
	bool known;

	sigaction(SIGBUS, &action, NULL);
	config.record = record_file_ring(file, 1, &config, &known, NULL);
	assert_int_equal(ring_create(&config, &ring, NULL), 0);
	assert_true(record_rig_find(f, path, sizeof(path)));
	assert_int_equal(truncate(path, 0), 0);
	mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
	mock_publish(&f->driver);
	assert_int_equal(ring_pop(ring, &chain, seg, 2), 1);
	ring_push(ring, chain.head, 0);
	ring_flush(ring);
	assert_true(mock_collect(&f->driver, &chain.head, &(uint32_t){ 0 }));
	assert_true(record_file_broken(file));
	assert_false(memmap_broken(f->memory.memmap));
	ring_destroy(ring);
	record_file_close(file);
	file = record_rig_file(f);
	assert_false(record_rig_continues(file, &f->config));
	record_file_close(file);
}

/* ---- the directory ---- */

static void the_directory_must_be_ours_alone(void **state)
{
	struct record_rig *f = *state;
	struct gw_error err;
	char path[128];
	int fd;

	assert_int_equal(chmod(f->dir, 0770), 0);
	assert_int_equal(record_dir_open(f->dir, &err), -EPERM);
	assert_non_null(strstr(err.text, f->dir));
	assert_int_equal(chmod(f->dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/new", f->dir);
	fd = record_dir_open(path, &err);
	assert_true(fd >= 0);
	gw_fd_close(&fd);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/none/new", f->dir);
	assert_int_equal(record_dir_open(path, &err), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_rig_setup, record_rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_damaged_header_begins_anew),
		TEST(damaged_records_do_no_harm),
		TEST(damaged_records_of_packed_rings_do_no_harm),
		TEST(a_link_in_its_place_is_refused),
		TEST(a_ring_without_room_costs_its_own_record_only),
		TEST(a_file_that_is_being_removed_is_not_taken),
		TEST(a_shortened_file_breaks_the_record_alone),
		TEST(the_directory_must_be_ours_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
