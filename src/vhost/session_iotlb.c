/* SPDX-License-Identifier: BSD-2-Clause */
#include "session_state.h"

void session_iotlb_done(struct session *session)
{
}

void session_iotlb_miss(struct session *session, const struct iotlb_miss *miss)
{
}
