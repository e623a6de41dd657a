/* What policies ask about somebody. */
#include "store/private.h"

static enum tbs_err read_fact(struct store_query *q, store_fact_fn *fn, void *ctx,
                              struct tbs_diag *diag)
{
    enum store_fact fact = (enum store_fact)store_column_int(q, 0);
    struct store_identity name;
    const char *text = name.uri;
    if (fact == STORE_FACT_ROLE)
        text = store_role_name(store_column_role(q, 1));
    else
        store_column_text(q, 1, name.uri);
    enum tbs_err err = store_query_status(q, diag);
    return err == TBS_OK ? fn(ctx, fact, text) : err;
}

enum tbs_err store_facts(struct store *store, int64_t subscriber_id, time_t now, store_fact_fn *fn,
                         void *ctx, struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_FACTS);
    store_bind_int(&q, subscriber_id);
    store_bind_int(&q, now);
    bool row = false, found = false;
    enum tbs_err err;
    while ((err = store_query_next(&q, &row, diag)) == TBS_OK && row) {
        found = true;
        err = read_fact(&q, fn, ctx, diag);
        if (err != TBS_OK)
            break;
    }
    if (err == TBS_OK && !found)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no subscriber with id %lld in the store",
                       (long long)subscriber_id);
    return err;
}
