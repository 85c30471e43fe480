/* SPDX-License-Identifier: BSD-2-Clause */
/* The tap driver: whose the interface is, and what happens when it is not there. */
#include "host.h"
#include "ip_frame.h"
#include "veth.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

extern const struct gw_driver gw_driver_tap;

#define EXIT_SKIP    77
#define TUN_PATH     "/dev/net/tun"
#define LIMIT_MS     2000u
#define LEN          300u
#define BUFFERS      256u
#define DATAGRAM_LEN (14u + 20u + 8u + 9u)

struct fixture {
	struct gw_port *port;
	struct gw_queue *queue;
	struct host_record *record;
	struct gw_frame frame;
};

/* A running port and one frame for it, in the arena. */
static void fixture_open(struct fixture *f, const char *spec)
{
	struct iovec seg = { NULL, LEN };

	memset(f, 0, sizeof(*f));
	f->port = host_run(&gw_driver_tap, spec);
	f->queue = host_queue(f->port);
	f->record = host_record(f->port);
	seg.iov_base = host_arena_buffer(f->port);
	pattern_fill(seg.iov_base, LEN, 1);
	host_frame(&f->frame, NULL, &seg, 1);
}

static void fixture_close(struct fixture *f)
{
	assert_int_equal(host_stop(f->port, LIMIT_MS), 0);
	host_close(f->port);
}

static void new_interface_is_up_and_goes_with_the_port(void **state)
{
	struct fixture f;

	assert_int_equal(if_nametoindex("tnew0"), 0);
	fixture_open(&f, "host=tnew0");
	assert_int_not_equal(if_nametoindex("tnew0"), 0);
	assert_non_null(strstr(f.record->status, "new interface tnew0"));
	veth_run("ip link show tnew0 | grep -q '[<,]UP[,>]'");
	fixture_close(&f);
	assert_int_equal(if_nametoindex("tnew0"), 0);
}

static void existing_interface_is_left_alone(void **state)
{
	struct fixture f;

	veth_run("ip tuntap add dev told0 mode tap");
	fixture_open(&f, "host=told0");
	assert_non_null(strstr(f.record->status, "existing interface told0"));
	fixture_close(&f);
	veth_run("ip link show told0 | grep -q 'state DOWN'");
	veth_run("ip tuntap del dev told0 mode tap");
}

static void interface_down_is_counted_and_recovers(void **state)
{
	uint8_t bytes[2048];
	struct fixture f;
	int far;

	veth_run("ip tuntap add dev told0 mode tap");
	fixture_open(&f, "host=told0");
	for (unsigned int i = 1; i <= 5; i++) {
		host_send(f.port, &f.frame);
		assert_int_equal(f.record->drops[GW_DROP_EGRESS_DOWN], i);
	}
	veth_run("ip link set told0 up");
	far = far_open("told0", VETH_TYPE, false);
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_EGRESS_DOWN], 5);
	assert_int_equal(far_receive(far, bytes, sizeof(bytes), LIMIT_MS), LEN);
	assert_true(pattern_holds(bytes, LEN, 1));
	close(far);
	fixture_close(&f);
	veth_run("ip tuntap del dev told0 mode tap");
}

static void interface_gone_is_counted_and_quiet(void **state)
{
	struct gw_frame *frame;
	unsigned int poll_us = 0;
	struct fixture f;

	fixture_open(&f, "host=tnew0");
	veth_run("ip link del tnew0");
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_EGRESS_DOWN], 1);
	assert_int_equal(gw_driver_tap.rx(f.queue, &frame, 1), 0);
	assert_false(gw_driver_tap.arm(f.queue, GW_WANT_RX, &poll_us));
	fixture_close(&f);
}

/* Deleted and made again while the port is there: started over it has the new one. */
static void interface_made_again_is_attached_to(void **state)
{
	struct gw_error err = { 0 };
	uint8_t bytes[2048];
	struct fixture f;
	int far;

	fixture_open(&f, "host=tnew0");
	veth_run("ip link del tnew0");
	assert_int_equal(gw_driver_tap.stop(f.port, LIMIT_MS), 0);
	veth_run("ip tuntap add dev tnew0 mode tap && ip link set tnew0 up");
	assert_int_equal(gw_driver_tap.start(f.port, &err), 0);
	far = far_open("tnew0", VETH_TYPE, false);
	host_send(f.port, &f.frame);
	assert_int_equal(far_receive(far, bytes, sizeof(bytes), LIMIT_MS), LEN);
	close(far);
	fixture_close(&f);
	veth_run("ip link del tnew0 2>/dev/null || true");
}

/* Memory that the front-end took away, and a header that is not true: frames are lost, no more. */
/* It was renamed, and another one has its name now: started over the port has that. */
static void interface_that_has_the_name_now_is_attached_to(void **state)
{
	struct gw_error err = { 0 };
	uint8_t bytes[2048];
	struct fixture f;
	int far;

	veth_run("ip tuntap add dev told0 mode tap");
	fixture_open(&f, "host=told0");
	assert_int_equal(host_stop(f.port, LIMIT_MS), 0);
	veth_run("ip link set told0 name tother0");
	veth_run("ip tuntap add dev told0 mode tap && ip link set told0 up");
	assert_int_equal(host_start(f.port, &err), 0);
	far = far_open("told0", VETH_TYPE, false);
	host_send(f.port, &f.frame);
	assert_int_equal(far_receive(far, bytes, sizeof(bytes), LIMIT_MS), LEN);
	assert_true(pattern_holds(bytes, LEN, 1));
	close(far);
	fixture_close(&f);
	veth_run("ip tuntap del dev told0 mode tap");
	veth_run("ip tuntap del dev tother0 mode tap");
}

static void bad_frames_are_counted(void **state)
{
	struct fixture f;
	struct iovec nothing;

	fixture_open(&f, "host=tnew0");
	nothing.iov_base = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	nothing.iov_len = LEN;
	assert_true(nothing.iov_base != MAP_FAILED);
	f.frame.own[0] = nothing;
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_DEVICE_ERROR], 1);
	f.frame.own[0].iov_base = host_arena_buffer(f.port);
	pattern_fill(f.frame.own[0].iov_base, LEN, 1);
	f.frame.header.gso_type = 0x7f;
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_BAD_HEADER], 1);
	f.frame.header.gso_type = 0;
	f.frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.frame.header.csum_start = LEN;
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_BAD_HEADER], 2);
	f.frame.header.flags = 0;
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_BAD_HEADER], 2);
	assert_int_equal(f.record->drops[GW_DROP_DEVICE_ERROR], 1);
	munmap(nothing.iov_base, 4096);
	fixture_close(&f);
}

/* The worker of a port that has lent all its buffers sleeps, and is told when one is back. */
static void worker_rests_while_all_buffers_are_lent(void **state)
{
	static struct gw_frame *frame[BUFFERS + 1];
	uint8_t bytes[LEN];
	unsigned int poll_us = 0;
	struct fixture f;
	int far;

	/* A frame may need one buffer here; otherwise reading ends before all are lent. */
	fixture_open(&f, "host=tnew0,offloads=off");
	far = far_open("tnew0", VETH_TYPE, false);
	pattern_fill(bytes, LEN, 2);
	for (unsigned int i = 0; i < BUFFERS + 10; i++)
		far_send(far, bytes, LEN);
	assert_int_equal(host_receive(f.port, frame, BUFFERS, LIMIT_MS), BUFFERS);
	assert_int_equal(gw_driver_tap.rx(f.queue, frame + BUFFERS, 1), 0);
	assert_false(gw_driver_tap.arm(f.queue, GW_WANT_RX, &poll_us));
	assert_int_equal(poll_us, 0);
	host_release(f.port, frame, 1);
	assert_true(gw_driver_tap.arm(f.queue, GW_WANT_RX, &poll_us));
	assert_int_equal(gw_driver_tap.rx(f.queue, frame, 1), 1);
	host_release(f.port, frame, BUFFERS);
	close(far);
	fixture_close(&f);
}

/*
 * Has the kernel send a datagram of 9 bytes through the tap and takes the frame, which
 * is to have these flags in its header.
 */
static void take_datagram(struct fixture *f, uint8_t *bytes, unsigned int flags)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct gw_frame *frame;
	bool found = false;

	veth_run("ip addr add 10.9.8.1/24 dev tnew0 && "
		 "ip neigh add 10.9.8.2 lladdr 02:00:00:00:00:02 dev tnew0");
	inet_pton(AF_INET, "10.9.8.2", &peer.sin_addr);
	for (unsigned int tries = 0; tries < 20 && !found; tries++) {
		sendto(fd, "checksum\n", 9, 0, (struct sockaddr *)&peer, sizeof(peer));
		while (!found && host_receive(f->port, &frame, 1, 50)) {
			found = frame->snapshot[12] == 8 && frame->len == DATAGRAM_LEN;
			if (found) {
				assert_int_equal(frame->header.flags, flags);
				host_frame_bytes(frame, bytes, DATAGRAM_LEN);
			}
			host_release(f->port, &frame, 1);
		}
	}
	close(fd);
	assert_true(found);
}

/* Without offloads, what the kernel would leave to a device is done before we see it. */
static void received_checksums_are_complete(void **state)
{
	uint8_t bytes[DATAGRAM_LEN];
	struct ip_frame_layout layout;
	struct fixture f;

	fixture_open(&f, "host=tnew0,offloads=off");
	assert_int_equal(f.record->offloads.takes, 0);
	assert_non_null(strstr(f.record->status, "offloads off"));
	take_datagram(&f, bytes, 0);
	assert_true(ip_frame_parse(bytes, DATAGRAM_LEN, &layout));
	assert_true(ip_frame_sums_hold(bytes, &layout, DATAGRAM_LEN));
	fixture_close(&f);
}

static void received_checksums_are_left_partial(void **state)
{
	uint8_t bytes[DATAGRAM_LEN];
	struct ip_frame_layout layout;
	struct fixture f;

	fixture_open(&f, "host=tnew0");
	assert_true(f.record->offloads.takes & GW_OFFLOAD_CSUM);
	take_datagram(&f, bytes, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_true(ip_frame_parse(bytes, DATAGRAM_LEN, &layout));
	assert_false(ip_frame_sums_hold(bytes, &layout, DATAGRAM_LEN));
	fixture_close(&f);
}

struct super_frame {
	struct virtio_net_hdr header;
	uint8_t bytes[IP_FRAME_BYTES_MAX];
} __attribute__((packed));

/* Without offloads the kernel cuts; with them the frame comes whole. */
static void received_super_frames(void **state)
{
	const struct ip_frame super = { .payload = 50000, .gso_size = 1000 };
	static const char *const spec[] = { "host=tnew0,offloads=off", "host=tnew0" };
	static struct super_frame packet;
	struct virtio_net_hdr_v1 header;
	uint32_t len = ip_frame_make(&super, packet.bytes, &header);

	memcpy(&packet.header, &header, sizeof(packet.header));
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int wanted = i ? 1 : super.payload / super.gso_size;
		struct gw_frame *frame[64];
		struct fixture f;
		int far;

		fixture_open(&f, spec[i]);
		far = far_open("tnew0", 0, true);
		far_send(far, &packet, sizeof(packet.header) + len);
		assert_int_equal(host_receive(f.port, frame, wanted, LIMIT_MS), wanted);
		assert_int_equal(frame[0]->len, i ? len : 54u + super.gso_size);
		assert_int_equal(frame[0]->header.gso_size, i ? super.gso_size : 0);
		host_release(f.port, frame, wanted);
		close(far);
		fixture_close(&f);
	}
}

/* A tap that stays is left as it was, and sends complete frames to whoever is next. */
static void offloads_end_with_the_port(void **state)
{
	struct fixture f;

	veth_run("ip tuntap add dev told0 mode tap && ip link set told0 up");
	fixture_open(&f, "host=told0");
	assert_true(veth_has_tso("told0"));
	fixture_close(&f);
	assert_false(veth_has_tso("told0"));
	veth_run("ip tuntap del dev told0 mode tap");
}

static void other_interfaces_are_refused(void **state)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	veth_add("near", "far", 1500);
	assert_true(host_open(&gw_driver_tap, "host=near", &port, &err) < 0);
	assert_non_null(strstr(err.text, "near"));
	assert_int_equal(host_open(&gw_driver_tap, "host=tap%d", &port, &err), -EINVAL);
	assert_non_null(strstr(err.text, "tap%d"));
	veth_delete("near");
}

static void multi_queue_tap_is_taken(void **state)
{
	struct fixture f;

	veth_run("ip tuntap add dev tmq0 mode tap multi_queue && ip link set tmq0 up");
	fixture_open(&f, "host=tmq0");
	host_send(f.port, &f.frame);
	assert_int_equal(f.record->drops[GW_DROP_EGRESS_DOWN], 0);
	fixture_close(&f);
	veth_run("ip tuntap del dev tmq0 mode tap multi_queue");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_interface_is_up_and_goes_with_the_port),
		cmocka_unit_test(existing_interface_is_left_alone),
		cmocka_unit_test(interface_down_is_counted_and_recovers),
		cmocka_unit_test(interface_made_again_is_attached_to),
		cmocka_unit_test(interface_that_has_the_name_now_is_attached_to),
		cmocka_unit_test(interface_gone_is_counted_and_quiet),
		cmocka_unit_test(bad_frames_are_counted),
		cmocka_unit_test(worker_rests_while_all_buffers_are_lent),
		cmocka_unit_test(received_checksums_are_complete),
		cmocka_unit_test(received_checksums_are_left_partial),
		cmocka_unit_test(received_super_frames),
		cmocka_unit_test(offloads_end_with_the_port),
		cmocka_unit_test(other_interfaces_are_refused),
		cmocka_unit_test(multi_queue_tap_is_taken),
	};
	char why[256];

	if (access(TUN_PATH, R_OK | W_OK)) {
		fprintf(stderr, "skipped: this user may not open %s\n", TUN_PATH);
		return EXIT_SKIP;
	}
	if (!veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, host_end);
}
