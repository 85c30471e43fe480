/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker_threads.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int found[WORKER_THREADS_MAX];
static unsigned int found_count;

static bool is_found(int tid)
{
	for (unsigned int i = 0; i < found_count; i++)
		if (found[i] == tid)
			return true;
	return false;
}

/* The number of the worker, or -1. */
static int worker_of(int tid)
{
	char path[64], name[32];
	unsigned int number;
	FILE *file;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
	file = fopen(path, "r");
	is = file && fgets(name, sizeof(name), file) && sscanf(name, "gw-worker-%u", &number) == 1;
	if (file)
		fclose(file);
	return is && number < WORKER_THREADS_MAX ? (int)number : -1;
}

bool worker_threads_find(int *tid, unsigned int count)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	bool all = true;

	while (dir && (entry = readdir(dir))) {
		int thread = atoi(entry->d_name), worker = thread ? worker_of(thread) : -1;

		if (worker < 0 || worker >= (int)count || is_found(thread) ||
		    found_count == WORKER_THREADS_MAX)
			continue;
		tid[worker] = found[found_count++] = thread;
	}
	if (dir)
		closedir(dir);
	for (unsigned int w = 0; w < count; w++)
		all &= tid[w] != 0;
	return all;
}

bool worker_thread_pin(int tid, unsigned int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &set);
	return !sched_setaffinity(tid, sizeof(set), &set);
}

bool worker_thread_account(int tid, struct account *account)
{
	char path[64];
	FILE *file;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	file = fopen(path, "r");
	is = file && fscanf(file, "%lu %lu", &account->ran_ns, &account->waited_ns) == 2;
	if (file)
		fclose(file);
	return is;
}

bool worker_thread_user_ticks(int tid, uint64_t *ticks)
{
	char path[64];
	FILE *file;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	is = file && fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu",
			    ticks) == 1;
	if (file)
		fclose(file);
	return is;
}
