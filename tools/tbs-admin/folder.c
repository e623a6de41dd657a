#include "tools/tbs-admin/folder.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum tbs_err folder_make(const char *name, char ret_path[FOLDER_MAX], struct tbs_diag *diag)
{
    char path[PATH_MAX];

    if (mkdir(name, 0700) != 0)
        return tbs_fail_raw(diag, errno == EEXIST ? TBS_ERR_EXISTS : TBS_ERR_IO,
                            (unsigned long)errno, "cannot make the new folder %.180s: %s", name,
                            strerror(errno));
    if (!realpath(name, path) || strlen(path) >= FOLDER_MAX) {
        rmdir(name);
        return tbs_fail(diag, TBS_ERR_IO, "the path of %.200s is too long", name);
    }
    strcpy(ret_path, path);
    return TBS_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void folder_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
