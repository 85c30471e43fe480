/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_probe.h"

#include "fd.h"
#include "loop.h"
#include "program.h"
#include "text.h"
#include "xdp.h"
#include "xdp_rules.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/* Between two looks whether the kernel has let go of queue and memory. */
#define WAIT_US        500u
#define UNPIN_LIMIT_MS 500u

/* One attempt to bind. */
struct bound {
	bool attempted;
	int rc;
	bool zerocopy, multi_buffer;
	struct gw_error err; /* with a text if there was no socket to bind */
};

struct trial {
	const struct gw_probe_question *question;
	const struct xdp_facts *facts;
	struct iovec umem;
	struct bound bound[RULES_BIND_ATTEMPTS]; /* as rules_bind_attempts */
	int program;                             /* 0, or why there is no XDP program */
	char why_no_program[GW_ERROR_TEXT_BYTES];
};

static struct gw_finding about(const char *subject, enum gw_found found, int code)
{
	return (struct gw_finding){ .path = "xdp",
				    .subject = subject,
				    .found = found,
				    .how = GW_FOUND_BY_TRYING,
				    .code = code };
}

/* ---- doing it ---- */

/* Until then: sleeps a little, and says that it is not too late. */
static bool wait_until(uint64_t end_ns)
{
	const struct timespec pause = { .tv_nsec = WAIT_US * 1000 };

	nanosleep(&pause, NULL);
	return gw_now_ns() < end_ns;
}

static uint64_t deadline_in(unsigned int ms)
{
	return gw_now_ns() + (uint64_t)ms * 1000000;
}

/* As start does: a queue that was ours a moment ago is waited for. */
static int bind_patiently(struct xsk *xsk, unsigned int ifindex, unsigned int flags)
{
	uint64_t end_ns = deadline_in(XDP_BIND_LIMIT_MS);
	int rc;

	do
		rc = xsk_bind(xsk, ifindex, PROBE_QUEUE, flags);
	while (rc == -EBUSY && wait_until(end_ns));
	return rc;
}

/* The same with memory that counted against the limit a moment ago. */
static int open_patiently(const struct trial *trial, const struct xsk_config *config,
			  struct xsk **xsk, struct gw_error *err)
{
	bool may_do = trial->question->host->memlock_bytes >= config->umem.iov_len;
	uint64_t end_ns = deadline_in(UNPIN_LIMIT_MS);
	int rc;

	do
		rc = xsk_open(config, xsk, err);
	while (rc == -ENOBUFS && may_do && wait_until(end_ns));
	return rc;
}

static void attempt(struct trial *trial, unsigned int number)
{
	const struct xsk_config config = { .umem = trial->umem,
					   .tx_entries = RULES_TX_ENTRIES,
					   .rx_entries = RULES_RX_ENTRIES };
	struct bound *bound = &trial->bound[number];
	struct xsk *xsk;

	bound->attempted = true;
	bound->rc = open_patiently(trial, &config, &xsk, &bound->err);
	if (bound->rc)
		return;
	bound->err.text[0] = 0;
	bound->rc = bind_patiently(xsk, trial->facts->netdev.ifindex, rules_bind_attempts[number]);
	bound->zerocopy = xsk->zerocopy;
	bound->multi_buffer = xsk->multi_buffer;
	xsk_close(xsk);
}

/* As start: without a program such a NIC would take frames and send none. */
static bool lacks_program(const struct trial *trial)
{
	const struct netdev_info *netdev = &trial->facts->netdev;

	return trial->program && netdev->features_known && netdev->zerocopy &&
	       rules_zerocopy_wants_program(netdev);
}

/* In the order of start, but not only to the first that is accepted. */
static void attempt_all(struct trial *trial)
{
	for (unsigned int i = 0; i < RULES_BIND_ATTEMPTS; i++) {
		const struct bound *before = i ? &trial->bound[i - 1] : NULL;
		bool zerocopy = rules_bind_attempts[i] & XDP_ZEROCOPY;

		if (zerocopy &&
		    (!rules_zerocopy_worth_trying(&trial->facts->netdev) || lacks_program(trial)))
			continue;
		/* The plain kind is for those who have no better one. */
		if (before && !(rules_bind_attempts[i] & XDP_USE_SG) && before->attempted &&
		    !before->rc)
			continue;
		attempt(trial, i);
		/* It will not be better with other flags. */
		if (trial->bound[i].rc == -EBUSY || trial->bound[i].err.text[0])
			return;
	}
}

/* ---- what came of it ---- */

/* The last word about zero-copy, or about copies: a success, or the last failure; NULL: none. */
static const struct bound *outcome(const struct trial *trial, unsigned int mode)
{
	const struct bound *last = NULL;

	for (unsigned int i = 0; i < RULES_BIND_ATTEMPTS; i++)
		if (rules_bind_attempts[i] & mode && trial->bound[i].attempted) {
			last = &trial->bound[i];
			if (!last->rc)
				return last;
		}
	return last;
}

static void say_failure(const struct trial *trial, const struct bound *bound,
			struct gw_finding *finding)
{
	const char *ifname = trial->question->device->name;

	if (bound->err.text[0]) {
		finding_say(finding, "%s", bound->err.text);
		if (bound->rc == -ENOBUFS)
			finding_remedy(finding, "ulimit -l, LimitMEMLOCK=, or CAP_IPC_LOCK");
		return;
	}
	finding_say(finding, "bind of queue %u: %s (%s)", PROBE_QUEUE, strerrorname_np(-bound->rc),
		    strerrordesc_np(-bound->rc));
	if (bound->rc == -EBUSY)
		finding_remedy(finding,
			       "another AF_XDP socket has the queue: stop that program, or "
			       "take another queue (queue=N)");
	else if (bound->rc == -EINVAL && !trial->facts->platform_dma)
		finding_remedy(finding, "in the VM's configuration: iommu_platform=on,"
					"disable-legacy=on for this device");
	else if (bound->rc == -EINVAL && rules_zerocopy_mtu(&trial->facts->netdev) != GW_YES)
		finding_remedy(finding, "MTU %u may be too long: ip link set %s mtu 1500",
			       trial->facts->netdev.mtu, ifname);
	else if (bound->rc == -EOPNOTSUPP)
		finding_remedy(finding, "another NIC or a newer kernel");
}

static void tell_mode(const struct trial *trial, const char *subject, unsigned int mode)
{
	const struct netdev_info *netdev = &trial->facts->netdev;
	const struct bound *bound = outcome(trial, mode);
	enum gw_reads reads = rules_reads(netdev, mode == XDP_ZEROCOPY);
	struct gw_finding finding;

	if (!bound)
		return;
	finding = about(subject, bound->rc ? GW_FOUND_NO : GW_FOUND_YES, bound->rc);
	finding.reads = GW_READS_BIT(reads);
	if (bound->rc)
		say_failure(trial, bound, &finding);
	else
		finding_say(&finding, "queue %u was bound%s: %s", PROBE_QUEUE,
			    bound->multi_buffer ? ", multi-buffer" : "",
			    reads == GW_READS_DMA         ? "the NIC reads guest memory"
			    : reads == GW_READS_FRAGMENTS ? "the kernel passes pages on"
							  : "the kernel copies each frame once");
	finding_tell(trial->question, &finding);
}

/* Zero-copy that was not tried, because frames would not be sent. */
static void tell_lack(const struct trial *trial)
{
	struct gw_finding finding = about("zero-copy", GW_FOUND_NO, trial->program);

	finding.reads = GW_READS_BIT(GW_READS_DMA);
	finding_say(&finding, "needs an XDP program: %s", trial->why_no_program);
	finding_remedy(&finding, "the right to load one, and no other one on the interface");
	finding_tell(trial->question, &finding);
}

static void tell_multi_buffer(const struct trial *trial, const struct bound *bound)
{
	struct gw_finding finding =
		about("multi-buffer", bound->multi_buffer ? GW_FOUND_YES : GW_FOUND_NO, 0);
	const char *mode = bound->zerocopy ? "zero-copy" : "copy";

	if (bound->multi_buffer) {
		finding_say(&finding, "bound in %s mode with XDP_USE_SG", mode);
	} else {
		finding_say(&finding, "in %s mode the bind was accepted without XDP_USE_SG only",
			    mode);
		finding_remedy(&finding, bound->zerocopy ? "hugepages for the guests; bind=copy"
							 : "Linux 6.6 or newer");
	}
	finding_tell(trial->question, &finding);
}

/* True if a port would start. */
static bool tell_start(const struct trial *trial)
{
	const struct netdev_info *netdev = &trial->facts->netdev;
	const struct bound *zerocopy = outcome(trial, XDP_ZEROCOPY),
			   *copy = outcome(trial, XDP_COPY);
	const struct bound *bound = zerocopy && !zerocopy->rc ? zerocopy : copy ? copy : zerocopy;
	struct gw_finding finding;
	enum gw_reads reads;

	if (!bound)
		return false;
	finding = about("start", bound->rc ? GW_FOUND_NO : GW_FOUND_YES, bound->rc);
	if (bound->rc) {
		say_failure(trial, bound, &finding);
	} else {
		reads = rules_reads(netdev, bound->zerocopy);
		tell_multi_buffer(trial, bound);
		finding.reads = GW_READS_BIT(reads);
		finding.max_len = rules_max_len(
			netdev->mtu, rules_pieces_max(netdev, reads, bound->multi_buffer));
		finding_say(&finding, "queue %u, %s%s", PROBE_QUEUE,
			    bound->zerocopy ? "zero-copy" : "copy mode",
			    bound->multi_buffer ? ", multi-buffer" : "");
	}
	finding_tell(trial->question, &finding);
	return !bound->rc;
}

/* ---- checksums ---- */

/* Two pages: so little that no limit is in the way. */
#define METADATA_UMEM_BYTES (2 * XSK_CHUNK_BYTES)
#define METADATA_ENTRIES    2u

/* Whether the kernel takes memory where requests come before the frames. */
static int register_metadata(const struct iovec *umem, struct gw_error *err)
{
	const struct xsk_config config = {
		.umem = { umem->iov_base, METADATA_UMEM_BYTES },
		.tx_entries = METADATA_ENTRIES,
		.rx_entries = METADATA_ENTRIES,
		.metadata = true,
	};
	struct xsk *xsk;
	int rc = xsk_open(&config, &xsk, err);

	xsk_close(xsk);
	return rc;
}

/* In zero-copy mode it is not used, whatever the kernel takes. */
static void tell_checksum(const struct trial *trial)
{
	const struct bound *copy = outcome(trial, XDP_COPY),
			   *zerocopy = outcome(trial, XDP_ZEROCOPY);
	struct gw_error err = { 0 };
	struct gw_finding finding;
	int rc;

	if ((zerocopy && !zerocopy->rc) || !copy || copy->rc)
		return;
	rc = register_metadata(&trial->umem, &err);
	finding = about("checksum", rc ? GW_FOUND_NO : GW_FOUND_YES, rc);
	if (rc) {
		finding_say(&finding, "%s", err.text);
		finding_remedy(&finding, "Linux 6.11 or newer; until then it is done in software");
	} else {
		finding_say(&finding,
			    rules_reads(&trial->facts->netdev, false) == GW_READS_FRAGMENTS
				    ? "the kernel took memory with TX metadata"
				    : "the kernel took memory with TX metadata; checksum=device "
				      "uses it");
	}
	finding_tell(trial->question, &finding);
}

/* ---- receiving ---- */

/* Without a program frames come through AF_PACKET; a socket of that kind has to be had. */
static struct gw_finding receive_by_packet(const struct gw_error *why)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), rc = fd < 0 ? -errno : 0;
	struct gw_finding finding = about("receive", rc ? GW_FOUND_NO : GW_FOUND_YES, rc);

	gw_fd_close(&fd);
	if (rc) {
		finding_say(&finding, "AF_PACKET socket: %s", strerrorname_np(-rc));
		finding_remedy(&finding, "CAP_NET_RAW in this network namespace");
	} else {
		finding.via = "AF_PACKET";
		finding_say(&finding, "through AF_PACKET: %s", why->text);
	}
	return finding;
}

/* No socket is pointed to: the program passes all frames on to the host. */
static struct gw_finding try_receive(struct trial *trial, struct program *program)
{
	struct gw_finding finding = about("receive", GW_FOUND_YES, 0);
	struct gw_error why = { 0 };

	if (program_attach(program, trial->facts->netdev.ifindex,
			   rules_channels(&trial->facts->netdev, true), &why)) {
		trial->program = why.code;
		gw_text_copy(trial->why_no_program, sizeof(trial->why_no_program), why.text);
		return receive_by_packet(&why);
	}
	finding.via = program->native ? "XDP" : "generic XDP";
	finding_say(&finding, "an XDP program was attached, %s",
		    program->native ? "in the driver" : "of the generic kind, on copies");
	return finding;
}

void xdp_probe_try(const struct gw_probe_question *question, const struct xdp_facts *facts)
{
	struct trial trial = { .question = question, .facts = facts };
	struct program program = PROGRAM_NONE;
	struct gw_finding receive;
	size_t arena_bytes = rules_arena_bytes(&facts->netdev);
	void *memory =
		mmap(NULL, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return;
	trial.umem = (struct iovec){ memory, arena_bytes };
	/* A program first, as in start: it decides how some drivers set up their queues. */
	receive = try_receive(&trial, &program);
	attempt_all(&trial);
	program_detach(&program);
	tell_checksum(&trial);
	munmap(memory, arena_bytes);
	if (lacks_program(&trial))
		tell_lack(&trial);
	else
		tell_mode(&trial, "zero-copy", XDP_ZEROCOPY);
	tell_mode(&trial, "copy", XDP_COPY);
	if (tell_start(&trial))
		finding_tell(question, &receive);
}
