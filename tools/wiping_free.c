/* Linked into the programs that hold keys: every block is wiped before it goes back to the
 * heap. Our own rooms wipe what they know to be secret; this is for the copies that libraries
 * make, such as the answers of a token in p11-kit's remoting buffers. Replaces the C
 * library's free and realloc for the whole process (glibc manual, "Replacing malloc"). */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

extern void __libc_free(void *block);

void free(void *block)
{
    if (!block)
        return;
    explicit_bzero(block, malloc_usable_size(block));
    __libc_free(block);
}

/* Never in place: what the old block held must not stay behind. */
void *realloc(void *block, size_t size)
{
    if (!block)
        return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    size_t old = malloc_usable_size(block);
    void *fresh = malloc(size);

    if (!fresh)
        return NULL;
    memcpy(fresh, block, old < size ? old : size);
    free(block);
    return fresh;
}
