/* SPDX-License-Identifier: BSD-2-Clause */
/* What a daemon finds in its file after it was killed, or somebody else was there. */
#include "record_file.h"

#include "fd.h"
#include "memmap.h"
#include "mock_driver.h"
#include "ring_record.h"
#include <dirent.h>
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

#define PACKED     (1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_F_VERSION_1)
#define RING_SIZE  8u
#define RING_ADDR  0x2000ull
#define MEMORY_LEN 0x10000ull
#define RINGS      4u
#define SOCKET     "/tmp/guest a.sock"

struct fixture {
	char dir[64];
	int dir_fd;
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring_config config;
};

static int setup(void **state)
{
	static const struct mock_region region = { .bytes = MEMORY_LEN };
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/record_file_test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dir_fd = record_dir_open(f->dir, NULL);
	assert_true(f->dir_fd >= 0);
	mock_memory_open(&f->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&f->driver, &f->memory, RING_SIZE, RING_ADDR, 0, 0);
	f->config = mock_driver_config(&f->driver);
	*state = f;
	return 0;
}

/* The name of the one file in the directory. */
static bool find_file(const struct fixture *f, char *path, size_t size)
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

/* The same as a question, without a process of its own. */
static bool has_file(const struct fixture *f)
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

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[256];

	mock_driver_close(&f->driver);
	mock_memory_close(&f->memory);
	while (find_file(f, path, sizeof(path)))
		assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(f->dir), 0);
	gw_fd_close(&f->dir_fd);
	free(f);
	return 0;
}

static struct record_file *open_file(const struct fixture *f)
{
	struct record_file *file;
	struct gw_error err = { 0 };

	if (record_file_open(f->dir_fd, SOCKET, RINGS, &file, &err))
		fail_msg("%s", err.text);
	return file;
}

/* As a ring does that finds nothing to go on with. */
static void begin(void *record, const struct ring_config *config)
{
	struct ring_config with_record = *config;
	struct gw_error err = { 0 };
	struct ring *ring;

	with_record.record = record;
	if (ring_create(&with_record, &ring, &err))
		fail_msg("%s", err.text);
	ring_destroy(ring);
}

static bool continues(struct record_file *file, const struct ring_config *config)
{
	struct gw_error err = { 0 };
	void *record;
	bool result;

	record = record_file_ring(file, 1, config, &result, &err);
	if (!record)
		fail_msg("%s", err.text);
	if (!result)
		begin(record, config);
	return result;
}

/* A daemon that starts ring 1 and is killed; what it does before, in between. */
static void live_and_die(const struct fixture *f, void (*live)(const struct fixture *, void *))
{
	struct record_file *file;
	struct gw_error err;
	void *record;
	bool known;
	int status;
	pid_t pid = fork();

	if (!pid) {
		file = open_file(f);
		record = record_file_ring(file, 1, &f->config, &known, &err);
		if (record && !known)
			begin(record, &f->config);
		if (record && live)
			live(f, record);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- the run of a process that was killed ---- */

static void the_same_ring_goes_on(void **state)
{
	struct fixture *f = *state;
	struct record_file *file;

	live_and_die(f, NULL);
	file = open_file(f);
	assert_int_equal(record_file_deaths(file), 1);
	assert_true(continues(file, &f->config));
	record_file_close(file);
	live_and_die(f, NULL);
	live_and_die(f, NULL);
	file = open_file(f);
	assert_int_equal(record_file_deaths(file), 3);
	assert_true(continues(file, &f->config));
	assert_false(record_file_broken(file));
	record_file_close(file);
}

/* Five chains: three are taken, one of them is given back. */
static void take_three(const struct fixture *f, void *record)
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

static void offer_five(struct fixture *f, int *heads)
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

static void chains_of_a_killed_process_are_popped_again(void **state)
{
	struct fixture *f = *state;
	struct ring_config config = f->config;
	struct record_file *file;
	struct ring_chain chain;
	struct iovec seg[2];
	struct ring *ring;
	int heads[5];
	bool known;

	offer_five(f, heads);
	live_and_die(f, take_three);
	config.base = f->driver.used->idx;
	assert_int_equal(config.base, 1);

	file = open_file(f);
	config.record = record_file_ring(file, 1, &config, &known, NULL);
	assert_true(known);
	assert_int_equal(ring_create(&config, &ring, NULL), 0);
	assert_int_equal(ring_resubmitted(ring), 2);
	for (int i = 0; i < 5; i++) {
		if (i == 1)
			continue;
		assert_int_equal(ring_pop(ring, &chain, seg, 2), 1);
		assert_int_equal(chain.head, heads[i]);
	}
	assert_int_equal(ring_pop(ring, &chain, seg, 2), 0);
	ring_destroy(ring);
	record_file_close(file);
}

/* ---- what is not the same ---- */

static void another_ring_begins_anew(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;
	struct record_file *file;

	for (int i = 0; i < 5; i++) {
		live_and_die(f, NULL);
		config = f->config;
		switch (i) {
		case 0:
			config.size /= 2;
			break;
		case 1:
			config.features = PACKED;
			break;
		case 2:
			config.desc_addr += 16;
			break;
		case 3:
			config.avail_addr += 16;
			break;
		default:
			config.used_addr += 16;
		}
		file = open_file(f);
		assert_false(continues(file, &config));
		record_file_close(file);
		/* And that one is what is there now. */
		file = open_file(f);
		assert_true(continues(file, &config));
		assert_false(continues(file, &f->config));
		record_file_close(file);
	}
}

/* QEMU was started anew: the same addresses, other files. */
static void another_guest_begins_anew(void **state)
{
	static const struct mock_region region = { .bytes = MEMORY_LEN };
	struct fixture *f = *state;
	struct ring_config config = f->config;
	struct mock_memory memory;
	struct record_file *file;

	live_and_die(f, NULL);
	mock_memory_open(&memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	config.memmap = memory.memmap;
	file = open_file(f);
	assert_false(continues(file, &config));
	record_file_close(file);
	mock_memory_close(&memory);
}

/* Memory was plugged in while nobody was there; the table has another order now. */
static void more_memory_is_the_same_guest(void **state)
{
	struct fixture *f = *state;
	struct ring_config config = f->config;
	struct memmap_region table[] = {
		{ .guest_addr = 1ull << 32, .user_addr = 1ull << 32, .size = MEMORY_LEN },
		{ .user_addr = MOCK_USER_OFFSET, .size = MEMORY_LEN },
	};
	struct record_file *file;

	live_and_die(f, NULL);
	table[0].fd = gw_memfd("dimm", MEMORY_LEN);
	table[1].fd = f->memory.region[0].fd;
	assert_int_equal(
		memmap_create(table, 2, (struct memmap_arena){ .fd = -1 }, &config.memmap, NULL),
		0);
	file = open_file(f);
	assert_true(continues(file, &config));
	record_file_close(file);
	memmap_put(config.memmap);
	gw_fd_close(&table[0].fd);
}

/* ---- good order ---- */

static void a_run_that_was_ended_does_not_go_on(void **state)
{
	struct fixture *f = *state;
	struct record_file *file = open_file(f);
	char path[256];

	assert_false(continues(file, &f->config));
	record_file_ring_stopped(file, 1);
	assert_false(continues(file, &f->config));
	record_file_ring_stopped(file, 1);
	record_file_ring_stopped(file, RINGS);
	record_file_close(file);
	assert_false(find_file(f, path, sizeof(path)));
	record_file_close(NULL);
}

/* The daemon stops, the guest goes on: a packed ring's place is needed, nobody died. */
static void a_run_outlives_the_daemon_in_good_order(void **state)
{
	struct fixture *f = *state;
	struct record_file *file = open_file(f);

	assert_false(continues(file, &f->config));
	record_file_close(file);
	file = open_file(f);
	assert_int_equal(record_file_deaths(file), 0);
	assert_true(continues(file, &f->config));
	record_file_close(file);
}

/* It stops before the guest has come again; or serves another ring of it only. */
static void a_run_waits_for_its_guest(void **state)
{
	struct fixture *f = *state;
	struct record_file *file;
	char path[256];

	live_and_die(f, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		file = open_file(f);
		if (i)
			record_file_ring_stopped(file, 0);
		record_file_close(file);
		assert_true(find_file(f, path, sizeof(path)));
	}
	file = open_file(f);
	assert_true(continues(file, &f->config));
	record_file_close(file);
}

static void two_daemons_do_not_share(void **state)
{
	struct fixture *f = *state;
	struct record_file *file = open_file(f), *other;
	struct gw_error err;

	assert_int_equal(record_file_open(f->dir_fd, SOCKET, RINGS, &other, &err), -EBUSY);
	assert_non_null(strstr(err.text, "guest_a.sock-"));
	/* The same last name elsewhere. */
	assert_int_equal(record_file_open(f->dir_fd, "/run/guest a.sock", RINGS, &other, NULL), 0);
	record_file_close(other);
	assert_int_equal(record_file_open(f->dir_fd, "guest a.sock", RINGS, &other, NULL), 0);
	record_file_close(other);
	record_file_close(file);
}

static void rings_beyond_are_refused(void **state)
{
	struct fixture *f = *state;
	struct record_file *file, *none;
	struct gw_error err;
	bool known;

	assert_int_equal(record_file_open(f->dir_fd, SOCKET, 0, &none, &err), -EINVAL);
	assert_int_equal(
		record_file_open(f->dir_fd, SOCKET, RECORD_FILE_RINGS_MAX + 1, &none, &err),
		-EINVAL);
	file = open_file(f);
	assert_null(record_file_ring(file, RINGS, &f->config, &known, &err));
	assert_non_null(record_file_ring(file, RINGS - 1, &f->config, &known, &err));
	record_file_close(file);
}

/* ---- a file that somebody wrote into ---- */

/* No byte of it may bring the ring down. */
static void damage(const struct fixture *f, uint64_t offset, const void *bytes, size_t len)
{
	char path[256];
	int fd;

	assert_true(find_file(f, path, sizeof(path)));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	gw_fd_close(&fd);
}

static void a_damaged_header_begins_anew(void **state)
{
	static const unsigned int at[] = { 0, 8, 16, 32 }; /* magic, version, stride, boot */
	struct fixture *f = *state;
	struct record_file *file;

	for (unsigned int i = 0; i < 4; i++) {
		live_and_die(f, NULL);
		damage(f, at[i], "x", 1);
		file = open_file(f);
		assert_int_equal(record_file_deaths(file), 0);
		assert_false(continues(file, &f->config));
		record_file_close(file);
	}
}

/* The identity is right, the record is not: begun anew by the ring, whatever is there. */
static void damage_records(struct fixture *f, size_t record_bytes)
{
	struct ring_config config = f->config;
	unsigned int seed = 1, refused = 0;
	struct record_file *file;
	struct ring_chain chain;
	struct iovec seg[4];
	struct ring *ring;
	uint8_t *record;
	bool known;

	offer_five(f, NULL);
	live_and_die(f, take_three);
	for (int round = 0; round < 2000; round++) {
		file = open_file(f);
		record = record_file_ring(file, 1, &config, &known, NULL);
		assert_non_null(record);
		/* From behind the version and the size on. */
		for (int i = 0; i < 4; i++)
			record[12 + (size_t)rand_r(&seed) % (record_bytes - 12)] =
				(uint8_t)(rand_r(&seed) % 12);
		config.record = record;
		assert_int_equal(ring_create(&config, &ring, NULL), 0);
		refused += ring_record_refused(ring) != NULL;
		assert_true(ring_resubmitted(ring) <= RING_SIZE);
		while (ring_pop(ring, &chain, seg, 4) == 1)
			;
		ring_destroy(ring);
		record_file_close(file);
	}
	assert_true(refused > 10);
}

static void damaged_records_do_no_harm(void **state)
{
	damage_records(*state, ring_record_bytes(RING_SIZE, false));
}

static void damaged_records_of_packed_rings_do_no_harm(void **state)
{
	struct fixture *f = *state;

	mock_driver_close(&f->driver);
	mock_driver_open(&f->driver, &f->memory, RING_SIZE, RING_ADDR, PACKED, MOCK_PLACE_FIRST);
	f->config = mock_driver_config(&f->driver);
	damage_records(f, ring_record_bytes(RING_SIZE, true));
}

static void a_link_in_its_place_is_refused(void **state)
{
	struct fixture *f = *state;
	struct record_file *file = open_file(f), *none;
	struct gw_error err;
	char path[256];

	assert_false(continues(file, &f->config));
	record_file_close(file);
	assert_true(find_file(f, path, sizeof(path)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(record_file_open(f->dir_fd, SOCKET, RINGS, &none, &err), -ELOOP);
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

static void live_without_room(const struct fixture *f)
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
	CHILD_CHECK(!record_file_open(dir_fd, SOCKET, RINGS, &file, &err));
	CHILD_CHECK(record_file_ring(file, 1, &f->config, &known, &err));
	begin(record_file_ring(file, 1, &f->config, &known, &err), &f->config);
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
	CHILD_CHECK(!record_file_open(dir_fd, SOCKET, RINGS, &file, &err));
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
	const struct fixture *f = arg;
	struct record_file *file;

	for (unsigned int i = 0; i < RACES; i++)
		if (!record_file_open(f->dir_fd, SOCKET, RINGS, &file, NULL))
			record_file_close(file);
	return NULL;
}

/* Who has a file has the one that the next daemon will find. */
static void a_file_that_is_being_removed_is_not_taken(void **state)
{
	struct fixture *f = *state;
	struct record_file *file;
	unsigned int lost = 0;
	pthread_t thread;
	char path[256];

	assert_int_equal(pthread_create(&thread, NULL, open_and_close, f), 0);
	for (unsigned int i = 0; i < RACES; i++) {
		if (record_file_open(f->dir_fd, SOCKET, RINGS, &file, NULL))
			continue;
		lost += !has_file(f);
		record_file_close(file);
	}
	pthread_join(thread, NULL);
	assert_int_equal(lost, 0);
	assert_false(find_file(f, path, sizeof(path)));
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
	struct fixture *f = *state;
	struct ring_config config = f->config;
	struct record_file *file = open_file(f);
	struct ring_chain chain;
	struct iovec seg[2];
	struct ring *ring;
	char path[256];
	bool known;

	sigaction(SIGBUS, &action, NULL);
	config.record = record_file_ring(file, 1, &config, &known, NULL);
	assert_int_equal(ring_create(&config, &ring, NULL), 0);
	assert_true(find_file(f, path, sizeof(path)));
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
	file = open_file(f);
	assert_false(continues(file, &f->config));
	record_file_close(file);
}

/* ---- the directory ---- */

static void the_directory_must_be_ours_alone(void **state)
{
	struct fixture *f = *state;
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_same_ring_goes_on),
		TEST(chains_of_a_killed_process_are_popped_again),
		TEST(another_ring_begins_anew),
		TEST(another_guest_begins_anew),
		TEST(more_memory_is_the_same_guest),
		TEST(a_run_that_was_ended_does_not_go_on),
		TEST(a_run_outlives_the_daemon_in_good_order),
		TEST(a_run_waits_for_its_guest),
		TEST(two_daemons_do_not_share),
		TEST(rings_beyond_are_refused),
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
