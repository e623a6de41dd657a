/* tbs-admin init: the first configuration. */
#include <yaml.h>

#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/init.h"

/* `ok` is sticky: write, then check once. */
struct writer {
    yaml_emitter_t emitter;
    bool ok;
};

/* `made` says whether there is an event, which is taken over. */
static void emit(struct writer *w, int made, yaml_event_t *event)
{
    if (made && !w->ok)
        yaml_event_delete(event);
    w->ok = w->ok && made && yaml_emitter_emit(&w->emitter, event);
}

static void put_text(struct writer *w, const char *text)
{
    yaml_event_t e;

    emit(w,
         yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *)text, -1, 1, 1,
                                      YAML_ANY_SCALAR_STYLE),
         &e);
}

static void begin_mapping(struct writer *w)
{
    yaml_event_t e;

    emit(w, yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE), &e);
}

static void end_mapping(struct writer *w)
{
    yaml_event_t e;

    emit(w, yaml_mapping_end_event_initialize(&e), &e);
}

static void begin_section(struct writer *w, const char *name)
{
    put_text(w, name);
    begin_mapping(w);
}

static void put_pair(struct writer *w, const char *key, const char *value)
{
    put_text(w, key);
    put_text(w, value);
}

static void put_list(struct writer *w, const char *key, const char *const *values, size_t n)
{
    yaml_event_t e;

    put_text(w, key);
    emit(w, yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE), &e);
    for (size_t i = 0; i < n; i++)
        put_text(w, values[i]);
    emit(w, yaml_sequence_end_event_initialize(&e), &e);
}

static void put_custody(struct writer *w, const struct custody_token_config *custody)
{
    if (custody->tcti) {
        put_pair(w, "backend", custody->backend);
        put_pair(w, "tcti", custody->tcti);
        put_pair(w, "keys", custody->keys);
        put_pair(w, "pin", custody->pin_source);
        return;
    }
    put_pair(w, "module", custody->module);
    put_pair(w, "uri", custody->uri);
    put_pair(w, "pin", custody->pin_source);
    put_list(w, "environment", custody->environment, custody->n_environment);
    put_pair(w, "pin_records", "refused-pins");
}

/* Signed by the ceremony's key and by its witness. */
static void put_registry(struct writer *w)
{
    static const char *const signers[] = {NEW_KMS_CEREMONY "/keys/csk-2026-01.pem",
                                          NEW_KMS_CEREMONY "/keys/IW-1.pem"};

    begin_section(w, "registry");
    put_pair(w, "file", NEW_KMS_REGISTRY);
    put_list(w, "signers", signers, 2);
    put_pair(w, "need", "2");
    put_pair(w, "rehearsal", "true");
    end_mapping(w);
}

static void put_sections(struct writer *w, const struct new_kms *kms)
{
    static const char *const suites[] = {"256", "128"};
    const struct admin_options *o = &admin_options;

    begin_section(w, "kms");
    put_pair(w, "identity", o->identity ? o->identity : "sip:kms@example.net");
    put_list(w, "suites", suites, 2);
    end_mapping(w);
    begin_section(w, "custody");
    put_custody(w, &kms->custody);
    if (kms->registered)
        put_registry(w);
    end_mapping(w);
    begin_section(w, "store");
    put_pair(w, "path", "store.sqlite");
    end_mapping(w);
    begin_section(w, "server");
    put_pair(w, "listen", o->listen ? o->listen : "127.0.0.1:8087");
    put_pair(w, "management", o->management ? o->management : "127.0.0.1:8088");
    put_pair(w, "address_file", "addresses");
    end_mapping(w);
    begin_section(w, "audit");
    put_pair(w, "file", "audit.log");
    if (kms->signs) {
        put_pair(w, "every_records", "1000");
        put_pair(w, "every_seconds", "60");
    }
    end_mapping(w);
}

static int append(void *text, unsigned char *octets, size_t n)
{
    tbs_put_bytes(text, tbs_bytes(octets, n));
    return !((struct tbs_buf *)text)->failed;
}

static void put_document(struct writer *w, const struct new_kms *kms)
{
    yaml_event_t e;

    emit(w, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING), &e);
    emit(w, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1), &e);
    begin_mapping(w);
    put_sections(w, kms);
    end_mapping(w);
    emit(w, yaml_document_end_event_initialize(&e, 1), &e);
    emit(w, yaml_stream_end_event_initialize(&e), &e);
}

enum tbs_err new_kms_config(const struct new_kms *kms, struct tbs_buf *text, struct tbs_diag *diag)
{
    struct writer w = {.ok = true};

    tbs_put_bytes(text, tbs_bytes_str("# tbs-kmsd, see tbs-kmsd.yaml(5). Relative paths are "
                                      "relative to this folder.\n"));
    if (!yaml_emitter_initialize(&w.emitter))
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the configuration");
    yaml_emitter_set_output(&w.emitter, append, text);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, -1);
    put_document(&w, kms);
    yaml_emitter_delete(&w.emitter);
    return w.ok ? TBS_OK
                : tbs_fail(diag, TBS_ERR_INVALID,
                           "the configuration cannot be written: is a name or a path not UTF-8?");
}
