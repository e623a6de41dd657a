#include "yaml/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum tbs_err tbs_yaml_read_file(const char *what, const char *file, size_t max,
                                struct tbs_buf *text, struct tbs_diag *diag)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open the %s %s: %s", what, file,
                            strerror(errno));
    uint8_t part[4096];
    ssize_t got;
    while ((got = read(fd, part, sizeof part)) > 0 && text->len <= max)
        tbs_put_bytes(text, tbs_bytes(part, (size_t)got));
    int error = errno;
    close(fd);
    if (got < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)error, "cannot read the %s %s: %s",
                            what, file, strerror(error));
    if (text->failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while reading %s", file);
    if (text->len > max)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the %s %s is larger than %zu octets", what, file,
                        max);
    return TBS_OK;
}

/* cyaml reports a failure as a list of places, the innermost first: the key is put together
 * from them. Entries of lists belong to their list. */
__attribute__((format(printf, 3, 0))) static void on_cyaml_log(cyaml_log_t level, void *ctx,
                                                               const char *fmt, va_list args)
{
    (void)level;
    char *key = ctx, line[256], name[64], longer[YAML_KEY_MAX];
    vsnprintf(line, sizeof line, fmt, args);
    if (sscanf(line, " in mapping field '%63[^']'", name) != 1)
        return;
    snprintf(longer, sizeof longer, "%s%s%s", name, *key ? "." : "", key);
    strcpy(key, longer);
}

enum tbs_err tbs_yaml_fill(const char *file, struct tbs_bytes text,
                           const cyaml_schema_value_t *schema, cyaml_data_t **ret_data,
                           char ret_key[YAML_KEY_MAX], struct tbs_diag *diag)
{
    const cyaml_config_t with = {.log_fn = on_cyaml_log,
                                 .log_ctx = ret_key,
                                 .mem_fn = cyaml_mem,
                                 .log_level = CYAML_LOG_ERROR,
                                 .flags = CYAML_CFG_NO_ALIAS};
    cyaml_data_t *data = NULL;
    ret_key[0] = '\0';
    cyaml_err_t err = cyaml_load_data(text.data, text.len, &with, schema, &data, NULL);
    if (err == CYAML_ERR_OOM)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while reading %s", file);
    if (err != CYAML_OK)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s: not accepted: %s", file, cyaml_strerror(err));
    *ret_data = data;
    return TBS_OK;
}

void tbs_yaml_free(const cyaml_schema_value_t *schema, cyaml_data_t *data)
{
    const cyaml_config_t with = {.mem_fn = cyaml_mem};
    if (data)
        cyaml_free(&with, schema, data, 0);
}
