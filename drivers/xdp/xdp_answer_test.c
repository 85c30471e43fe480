/* SPDX-License-Identifier: BSD-2-Clause */
/* What is answered about memory that no machine for tests has. */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define LIMIT_BYTES (70ull << 30)

/* Sparse: none of it is ever touched. The window has the private arena in front. */
static struct gw_answer answer_about(struct gw_port *port, size_t bytes)
{
	struct host_memory memory;
	struct gw_answer answer;

	host_memory_create(&memory, bytes, 0);
	answer = host_query(port, memory.memmap);
	host_memory_destroy(&memory);
	return answer;
}

static void more_memory_than_the_kernel_registers_is_said(void **state)
{
	struct gw_port *port = fake_open(false);
	struct xdp_channel *ch = &fake_port(port)->channel[0];
	struct fake_kernel kernel;
	struct gw_answer answer;

	fake_init(&kernel, ch);
	ch->reads = GW_READS_KERNEL_COPY;
	tx_attach(ch, NULL);
	answer = answer_about(port, LIMIT_BYTES);
	assert_int_equal(answer.verdict, GW_NO);
	assert_int_equal(answer.reason, GW_COPY_MEMORY_LIMIT);
	assert_non_null(strstr(answer.text, "70 GiB"));
	assert_int_not_equal(answer_about(port, LIMIT_BYTES / 2).verdict, GW_NO);
	fake_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_memory_than_the_kernel_registers_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
