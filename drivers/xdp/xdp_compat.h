/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel has and the headers of Linux 6.1 (Debian 12) do not name yet. */
#pragma once

#include <linux/if_xdp.h>

#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4) /* bind: frames of several descriptors; Linux 6.6 */
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0) /* descriptor: the frame goes on in the next; Linux 6.6 */
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* socket option: descriptors per sendto; Linux 6.18 */
#endif
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5) /* program: takes frames of several buffers; Linux 5.18 */
#endif
