/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A doubly linked list whose links lie in the elements. The head is an element that is
 * no element.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct gw_list {
	struct gw_list *prev, *next;
};

#define gw_container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

static inline void gw_list_init(struct gw_list *head)
{
	head->prev = head->next = head;
}

static inline bool gw_list_empty(const struct gw_list *head)
{
	return head->next == head;
}

static inline void gw_list_add_tail(struct gw_list *head, struct gw_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Removes and leaves the node a list of its own, so that a second removal is harmless. */
static inline void gw_list_del(struct gw_list *node)
{
	/* The analyser does not see that a freed neighbour has left the list before. */
	node->prev->next = node->next; /* NOLINT(clang-analyzer-unix.Malloc) */
	node->next->prev = node->prev;
	gw_list_init(node);
}

/* Moves all of from to the end of head. */
static inline void gw_list_splice(struct gw_list *head, struct gw_list *from)
{
	if (gw_list_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	gw_list_init(from);
}

#define gw_list_for_each(pos, head) for (pos = (head)->next; pos != (head); pos = pos->next)
#define gw_list_for_each_safe(pos, tmp, head) \
	for (pos = (head)->next, tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)
