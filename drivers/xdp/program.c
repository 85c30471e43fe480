/* SPDX-License-Identifier: BSD-2-Clause */
#include "program.h"

#include "fd.h"
#include "xdp_compat.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stddef.h>

#define PROGRAM_NAME "guestwire"
/* Where on the program's stack the number of the queue lies. */
#define KEY_OFF      (-4)
/* With more processors than this frames that pass are not counted. */
#define CPUS_MAX     1024

/* clang-format off */
#define LOAD_MAP(reg, fd) \
	{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = (reg), .src_reg = BPF_PSEUDO_MAP_FD, .imm = (fd) }, \
	{ 0 } /* upper half of the map */
#define MOVE(to, from) \
	{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from) }
#define SET(reg, value) \
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value) }
#define ADD(reg, value) \
	{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (reg), .imm = (value) }
#define CALL(function) \
	{ .code = BPF_JMP | BPF_CALL, .imm = (function) }
#define JUMP(condition, reg, value, by) \
	{ .code = BPF_JMP | (condition) | BPF_K, .dst_reg = (reg), .imm = (value), .off = (by) }
/* clang-format on */

/*
 * int action = bpf_redirect_map(map, context->rx_queue_index, XDP_PASS);
 *
 * if (action == XDP_PASS)
 *         ++*bpf_map_lookup_elem(passed, &context->rx_queue_index);
 * return action;
 *
 * A queue without a socket in the map is the host's: XDP_PASS.
 */
static int load(struct program *program, unsigned int flags)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_6,
		  .src_reg = BPF_REG_1,
		  .off = offsetof(struct xdp_md, rx_queue_index) },
		LOAD_MAP(BPF_REG_1, program->map_fd),
		MOVE(BPF_REG_2, BPF_REG_6),
		SET(BPF_REG_3, XDP_PASS),
		CALL(BPF_FUNC_redirect_map),
		JUMP(BPF_JNE, BPF_REG_0, XDP_PASS, 11), /* to the end */
		{ .code = BPF_STX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_10,
		  .src_reg = BPF_REG_6,
		  .off = KEY_OFF },
		MOVE(BPF_REG_2, BPF_REG_10),
		ADD(BPF_REG_2, KEY_OFF),
		LOAD_MAP(BPF_REG_1, program->passed_fd),
		CALL(BPF_FUNC_map_lookup_elem),
		JUMP(BPF_JEQ, BPF_REG_0, 0, 3), /* no such queue */
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_0 },
		ADD(BPF_REG_1, 1),
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1 },
		SET(BPF_REG_0, XDP_PASS),
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = flags,
		    .expected_attach_type = BPF_XDP);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, PROGRAM_NAME, "BSD", code,
			       sizeof(code) / sizeof(code[0]), &options);

	return fd;
}

/* With frames of several buffers if the kernel knows them (5.18). */
static int load_any(struct program *program)
{
	int fd = load(program, BPF_F_XDP_HAS_FRAGS);

	return fd == -EINVAL ? load(program, 0) : fd;
}

static int link_any(struct program *program, unsigned int ifindex)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
	int fd;

	program->native = true;
	fd = bpf_link_create(program->program_fd, (int)ifindex, BPF_XDP, &options);
	if (fd >= 0 || fd == -EBUSY || fd == -EPERM)
		return fd;
	program->native = false;
	options.flags = XDP_FLAGS_SKB_MODE;
	return bpf_link_create(program->program_fd, (int)ifindex, BPF_XDP, &options);
}

int program_attach(struct program *program, unsigned int ifindex, unsigned int queues,
		   struct gw_error *err)
{
	const struct program none = PROGRAM_NONE;
	int rc;

	/* Its own words would go to stderr. */
	libbpf_set_print(NULL);
	*program = none;
	program->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, PROGRAM_NAME, sizeof(int),
					 sizeof(int), queues, NULL);
	if (program->map_fd < 0) {
		rc = gw_error_sys(err, program->map_fd,
				  "BPF map (needs CAP_BPF and CAP_NET_ADMIN)");
		goto fail;
	}
	program->cpus = libbpf_num_possible_cpus();
	program->passed_fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, PROGRAM_NAME, sizeof(int),
					    sizeof(uint64_t), queues, NULL);
	if (program->passed_fd < 0) {
		rc = gw_error_sys(err, program->passed_fd,
				  "BPF map of counts (needs CAP_BPF and CAP_NET_ADMIN)");
		goto fail;
	}
	program->program_fd = load_any(program);
	if (program->program_fd < 0) {
		rc = gw_error_sys(err, program->program_fd,
				  "XDP program (needs CAP_BPF and CAP_NET_ADMIN)");
		goto fail;
	}
	program->link_fd = link_any(program, ifindex);
	if (program->link_fd < 0) {
		rc = gw_error_sys(err, program->link_fd,
				  "attaching an XDP program (is there another? see ip link)");
		goto fail;
	}
	return 0;
fail:
	program_detach(program);
	return rc;
}

int program_point(struct program *program, unsigned int queue, int xsk_fd)
{
	return bpf_map_update_elem(program->map_fd, &queue, &xsk_fd, BPF_ANY);
}

int program_forget(struct program *program, unsigned int queue)
{
	return bpf_map_delete_elem(program->map_fd, &queue);
}

uint64_t program_passed(const struct program *program, unsigned int queue)
{
	uint64_t count[CPUS_MAX], sum = 0;

	if (program->cpus < 1 || program->cpus > CPUS_MAX ||
	    bpf_map_lookup_elem(program->passed_fd, &queue, count))
		return 0;
	for (int i = 0; i < program->cpus; i++)
		sum += count[i];
	return sum;
}

void program_detach(struct program *program)
{
	gw_fd_close(&program->link_fd);
	gw_fd_close(&program->program_fd);
	gw_fd_close(&program->map_fd);
	gw_fd_close(&program->passed_fd);
}
