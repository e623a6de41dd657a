/* A MIKEY message as a tree of JSON objects for people and programs, field by field as
 * scribe.h says. Keys are counted, never shown. Stateless; thread-safe. */
#ifndef TBS_TOOLS_TREE_H
#define TBS_TOOLS_TREE_H

#include <jansson.h>
#include <stdio.h>

#include "base/bytes.h"

/* The tree of `raw`, the caller's to json_decref; NULL when out of memory. Where the octets
 * do not decode, the tree holds what did, and the node that broke has "error" with "offset"
 * and "sentence". */
json_t *tree_of_message(struct tbs_bytes raw);
/* True when a node of the tree has an error. */
bool tree_is_broken(const json_t *tree);

/* The tree as lines of UTF-8. */
void tree_print(FILE *out, const json_t *tree, bool colour);

#endif
