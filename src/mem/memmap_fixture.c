/* SPDX-License-Identifier: BSD-2-Clause */
#include "memmap_fixture.h"

#include "fd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->fd, FILE_BYTES), 0);
	f->view = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->view, MAP_FAILED);
	for (unsigned int i = 0; i < FILE_BYTES / PAGE; i++)
		f->view[i * PAGE] = (uint8_t)i;
	f->region = (struct memmap_region){
		.guest_addr = 0x100000, .size = FILE_BYTES, .user_addr = USER_OFFSET, .fd = f->fd
	};
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	memmap_put(f->memmap);
	munmap(f->view, FILE_BYTES);
	gw_fd_close(&f->fd);
	free(f);
	return 0;
}

void fixture_make(struct fixture *f, const struct memmap_region *regions, unsigned int count)
{
	if (memmap_create(regions, count, NO_ARENA, &f->memmap, &f->err))
		fail_msg("%s", f->err.text);
}

void fixture_refused(struct fixture *f, const struct memmap_region *regions, unsigned int count,
		     const char *why)
{
	f->err.text[0] = 0;
	assert_int_equal(memmap_create(regions, count, NO_ARENA, &f->memmap, &f->err), -EINVAL);
	if (!strstr(f->err.text, why))
		fail_msg("'%s' does not say '%s'", f->err.text, why);
	assert_null(f->memmap);
}
