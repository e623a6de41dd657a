/* Folders that only their owner can enter. */
#ifndef TBS_TOOLS_ADMIN_FOLDER_H
#define TBS_TOOLS_ADMIN_FOLDER_H

#include <limits.h>

#include "base/error.h"

#define FOLDER_MAX (PATH_MAX - 64) /* leaves room for a name in it */

/* A new folder; its absolute path goes to ret_path. TBS_ERR_EXISTS if there is something. */
enum tbs_err folder_make(const char *name, char ret_path[FOLDER_MAX], struct tbs_diag *diag);
/* With all that is in it. */
void folder_remove(const char *path);

#endif
