/* SPDX-License-Identifier: BSD-2-Clause */
#include "member.h"

const char *member_text(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

json_int_t member_number(const json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

uint64_t member_count(const json_t *json, const char *name)
{
	json_int_t value = member_number(json, name);

	return value > 0 ? (uint64_t)value : 0;
}
