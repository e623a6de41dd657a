/* Hashes as words that people read aloud and compare: the PGP word list, one word an octet. At even
 * offsets words have two syllables, at odd ones three, so that a word that is left out, said twice
 * or swapped is heard. Thread-safe. */
#ifndef TBS_EVIDENCE_WORDS_H
#define TBS_EVIDENCE_WORDS_H

#include "base/bytes.h"

/* Appends the words, with a blank between them. */
void words_put(struct tbs_buf *text, struct tbs_bytes octets);
/* Reads words with blanks between them, in any case; false, and nothing written, unless there are
 * exactly `len`, each from the list of its place. */
bool words_read(const char *text, uint8_t *ret_octets, size_t len);

#endif
