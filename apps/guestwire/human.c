/* SPDX-License-Identifier: BSD-2-Clause */
#include "human.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

/* Counts are whole up to here: people compare small ones digit by digit. */
#define COUNT_WHOLE 10000u

static struct human scaled(uint64_t value, unsigned int base, const char *const *units)
{
	struct human human;
	double number = (double)value;
	int digits;

	/* 999.5 would be rounded to 1000. */
	while (number >= base - 0.5 && units[1]) {
		number /= base;
		units++;
	}
	digits = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
	snprintf(human.text, sizeof(human.text), "%.*f %s", digits, number, *units);
	return human;
}

struct human human_count(uint64_t count)
{
	static const char *const units[] = { "", "k", "M", "G", "T", "P", "E", NULL };
	struct human human;

	if (count >= COUNT_WHOLE)
		return scaled(count, 1000, units);
	snprintf(human.text, sizeof(human.text), "%" PRIu64, count);
	return human;
}

struct human human_bytes(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL };
	struct human human;

	if (bytes >= 1024)
		return scaled(bytes, 1024, units);
	snprintf(human.text, sizeof(human.text), "%" PRIu64 " B", bytes);
	return human;
}

struct human human_time(uint64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s", NULL };
	struct human human;

	if (ns >= 1000)
		return scaled(ns, 1000, units);
	snprintf(human.text, sizeof(human.text), "%" PRIu64 " ns", ns);
	return human;
}

struct human human_percent(uint64_t part, uint64_t whole)
{
	struct human human = { "" };
	double percent;

	if (whole == 0)
		return human;
	percent = 100.0 * (double)part / (double)whole;
	if (part < whole && percent > 99.9)
		percent = 99.9;
	if (part > 0 && percent < 0.1)
		percent = 0.1;
	snprintf(human.text, sizeof(human.text), "%.1f %%", percent);
	return human;
}

static char clean(char c)
{
	return (char)(iscntrl((unsigned char)c) ? '?' : c);
}

void human_clean(char *dst, size_t dst_bytes, const char *text)
{
	size_t i;

	for (i = 0; text[i] && i < dst_bytes - 1; i++)
		dst[i] = clean(text[i]);
	dst[i] = 0;
}

void human_print(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc(clean(*text), out);
}
