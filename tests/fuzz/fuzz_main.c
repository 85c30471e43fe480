/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target without libFuzzer.
 *
 *     TARGET FILE...                          replays inputs, or folders of them
 *     TARGET [--seed N] [--runs N] [--trace]  random inputs
 *
 * Run number r of seed s is the only run of seed s + r. So `--trace`, which
 * prints the seed of each run before it, leads to `--seed N --runs 1`.
 */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX_BYTES  1024u
#define REPLAY_MAX_BYTES (1u << 20)
#define RUNS_DEFAULT     2000u

/* splitmix64: well spread also from seeds that follow each other. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void run_random(uint64_t seed)
{
	uint64_t state = seed;
	size_t len = next_random(&state) % (INPUT_MAX_BYTES + 1);
	/* From the heap and of the exact size, so that a sanitizer sees each step too far. */
	uint8_t *bytes = malloc(len ? len : 1);

	if (!bytes)
		abort();
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)next_random(&state);
	LLVMFuzzerTestOneInput(bytes, len);
	free(bytes);
}

static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(REPLAY_MAX_BYTES);
	size_t len;

	if (!file || !bytes) {
		fprintf(stderr, "cannot read %s\n", path);
		if (file)
			fclose(file);
		free(bytes);
		return 1;
	}
	len = fread(bytes, 1, REPLAY_MAX_BYTES, file);
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, len);
	free(bytes);
	return 0;
}

/* A folder's files, or a file. */
static int replay_all(const char *path)
{
	char name[PATH_MAX];
	DIR *folder = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (!folder)
		return replay(path);
	while (!ret && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		ret = replay(name);
	}
	closedir(folder);
	return ret;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, runs = RUNS_DEFAULT;
	bool trace = false, replayed = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			seed = strtoull(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--runs") && i + 1 < argc) {
			runs = strtoull(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--trace")) {
			trace = true;
		} else {
			replayed = true;
			if (replay_all(argv[i]))
				return 1;
		}
	}
	for (uint64_t run = 0; !replayed && run < runs; run++) {
		if (trace) {
			printf("--seed %llu\n", (unsigned long long)(seed + run));
			fflush(stdout);
		}
		run_random(seed + run);
	}
	return 0;
}
