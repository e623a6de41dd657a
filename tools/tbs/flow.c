#include "flow.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "load.h"
#include "text.h"

#define FILES_MAX (2 * FLOW_STEPS_MAX)

/* NN-sender-receiver-anything.mikey or .sdp, taken apart. */
struct name {
    char *path;
    unsigned number;
    struct tbs_bytes sender, receiver, stem; /* views into path */
    bool sdp;
};

struct names {
    size_t n;
    struct name name[FILES_MAX];
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);

    return len > n && strcmp(text + len - n, end) == 0;
}

static bool is_captured(const char *file)
{
    return ends_with(file, ".mikey") || ends_with(file, ".sdp");
}

/* The part of `*rest` before the next '-', which is skipped; all of it without one. */
static struct tbs_bytes part(const char **rest, const char *end)
{
    const char *start = *rest, *dash = memchr(start, '-', (size_t)(end - start));
    const char *stop = dash ? dash : end;

    *rest = dash ? dash + 1 : end;
    return tbs_bytes(start, (size_t)(stop - start));
}

static bool number_of(struct tbs_bytes digits, unsigned *ret_number)
{
    unsigned number = 0;

    if (digits.len == 0 || digits.len > 6)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        number = 10 * number + (unsigned)(digits.data[i] - '0');
    }
    *ret_number = number;
    return true;
}

static enum tbs_err take_apart(struct name *name, struct tbs_diag *diag)
{
    const char *slash = strrchr(name->path, '/'), *file = slash ? slash + 1 : name->path;
    const char *end = strrchr(file, '.'), *rest = file;
    bool good = is_captured(file) && number_of(part(&rest, end), &name->number);

    if (good) {
        name->sdp = ends_with(file, ".sdp");
        name->sender = part(&rest, end);
        name->receiver = part(&rest, end);
        name->stem = tbs_bytes(name->path, (size_t)(end - name->path));
    }
    if (!good || name->sender.len == 0 || name->receiver.len == 0 ||
        tbs_bytes_equal(name->sender, name->receiver))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "%.200s is not named NN-sender-receiver-anything.mikey or .sdp, with "
                        "two different names",
                        name->path);
    return TBS_OK;
}

/* Takes over `path`. */
static enum tbs_err add_name(struct names *names, char *path, struct tbs_diag *diag)
{
    struct name *name = &names->name[names->n];

    if (!path)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    if (names->n == FILES_MAX) {
        free(path);
        return tbs_fail(diag, TBS_ERR_LIMIT, "more than %d files to draw", FILES_MAX);
    }
    *name = (struct name){.path = path};
    names->n++;
    return take_apart(name, diag);
}

static enum tbs_err add_folder(struct names *names, const char *folder, struct tbs_diag *diag)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    enum tbs_err err = TBS_OK;

    if (!dir)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot open %.200s: %s",
                            folder, strerror(errno));
    while (!err && (entry = readdir(dir))) {
        char *path = NULL;

        if (!is_captured(entry->d_name))
            continue;
        if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
            path = NULL;
        err = add_name(names, path, diag);
    }
    closedir(dir);
    return err;
}

static enum tbs_err add_path(struct names *names, const char *path, struct tbs_diag *diag)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.200s: %s", path, strerror(errno));
    return S_ISDIR(st.st_mode) ? add_folder(names, path, diag)
                               : add_name(names, strdup(path), diag);
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i].path);
}

/* By number, then by name; a message comes before the .sdp of the same name. */
static int compare(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    size_t shorter = x->stem.len < y->stem.len ? x->stem.len : y->stem.len;
    int order = memcmp(x->stem.data, y->stem.data, shorter);

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    if (order != 0)
        return order;
    if (x->stem.len != y->stem.len)
        return x->stem.len < y->stem.len ? -1 : 1;
    return x->sdp - y->sdp;
}

static enum tbs_err party_of(struct flow *flow, struct tbs_bytes name, size_t *ret_party,
                             struct tbs_diag *diag)
{
    char *safe = text_safe(name);

    if (!safe)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < flow->n_parties; i++)
        if (strcmp(flow->party[i], safe) == 0) {
            free(safe);
            *ret_party = i;
            return TBS_OK;
        }
    if (flow->n_parties == FLOW_PARTIES_MAX) {
        free(safe);
        return tbs_fail(diag, TBS_ERR_LIMIT, "more than %d participants do not fit side by side",
                        FLOW_PARTIES_MAX);
    }
    *ret_party = flow->n_parties;
    flow->party[flow->n_parties++] = safe;
    return TBS_OK;
}

/* An empty step between the two of a name. */
static enum tbs_err add_step(struct flow *flow, const struct name *name,
                             struct flow_step **ret_step, struct tbs_diag *diag)
{
    struct flow_step *step = &flow->step[flow->n_steps];
    size_t from = 0, to = 0;
    enum tbs_err err =
        flow->n_steps < FLOW_STEPS_MAX
            ? party_of(flow, name->sender, &from, diag)
            : tbs_fail(diag, TBS_ERR_LIMIT, "more than %d messages to draw", FLOW_STEPS_MAX);

    if (!err)
        err = party_of(flow, name->receiver, &to, diag);
    if (err)
        return err;
    *step = (struct flow_step){.number = name->number, .from = from, .to = to};
    flow->n_steps++;
    *ret_step = step;
    return TBS_OK;
}

/* An SDP answer need not carry MIKEY: without the F flag there is no TRANSFER_RESP. */
static enum tbs_err add_bare_sdp(struct flow *flow, const struct name *name, struct tbs_diag *diag)
{
    struct flow_step *step;
    enum tbs_err err = add_step(flow, name, &step, diag);

    if (!err && !(step->title = strdup("SDP without MIKEY")))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    return err;
}

static enum tbs_err add_file(struct flow *flow, const struct name *name, bool in_sdp,
                             struct tbs_diag *diag)
{
    struct load load LOAD_AUTO = {0};
    enum tbs_err err = load_file(name->path, &load, diag);

    if (err == TBS_ERR_UNSUPPORTED && name->sdp)
        return add_bare_sdp(flow, name, diag);
    for (size_t i = 0; !err && i < load.n; i++) {
        struct flow_step *step;

        err = add_step(flow, name, &step, diag);
        if (!err)
            err = flow_describe(tbs_buf_view(&load.m[i].octets), in_sdp, step, diag);
    }
    return err;
}

static enum tbs_err build(struct names *names, struct flow *flow, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    qsort(names->name, names->n, sizeof *names->name, compare);
    for (size_t i = 0; !err && i < names->n; i++) {
        const struct name *name = &names->name[i];
        bool carried = i + 1 < names->n && names->name[i + 1].sdp &&
                       tbs_bytes_equal(name->stem, names->name[i + 1].stem);

        err = add_file(flow, name, name->sdp || carried, diag);
        if (carried)
            i++;
    }
    if (!err && flow->n_steps == 0)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND,
                       "nothing to draw: no file named NN-sender-receiver-anything.mikey or .sdp");
    return err;
}

enum tbs_err flow_read(char *const *paths, size_t n, struct flow **ret_flow, struct tbs_diag *diag)
{
    struct names *names = calloc(1, sizeof *names);
    struct flow *flow = calloc(1, sizeof *flow);
    enum tbs_err err = names && flow ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");

    for (size_t i = 0; !err && i < n; i++)
        err = add_path(names, paths[i], diag);
    if (!err)
        err = build(names, flow, diag);
    if (names)
        free_names(names);
    free(names);
    if (err)
        flow_free(flow);
    else
        *ret_flow = flow;
    return err;
}

void flow_free(struct flow *flow)
{
    if (!flow)
        return;
    for (size_t i = 0; i < flow->n_parties; i++)
        free(flow->party[i]);
    for (size_t i = 0; i < flow->n_steps; i++) {
        free(flow->step[i].title);
        for (size_t k = 0; k < flow->step[i].n_facts; k++)
            free(flow->step[i].fact[k]);
    }
    free(flow);
}
