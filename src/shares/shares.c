#include "shares/internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define DIGEST_X 254 /* where the digest of a secret and its key lie */
#define SECRET_X 255
#define DIGEST_LEN 4
#define ID_MASK 0x7FFF

void share_free(struct share *share)
{
    tbs_secret_free(&share->value);
    *share = (struct share){0};
}

static void free_all(struct share *shares, size_t n)
{
    for (size_t i = 0; i < n; i++)
        share_free(&shares[i]);
}

static enum tbs_err crypto_failed(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library failed at shares");
}

/* The point of the digest: 4 octets of HMAC-SHA-256 over the secret, and the HMAC's key. */
static bool put_digest(const struct tbs_secret *secret, struct tbs_secret *point)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t key_len = point->len - DIGEST_LEN;
    bool ok = HMAC(EVP_sha256(), point->data + DIGEST_LEN, (int)key_len, secret->data, secret->len,
                   mac, NULL);
    memcpy(point->data, mac, DIGEST_LEN);
    OPENSSL_cleanse(mac, sizeof mac);
    return ok;
}

/* --- Splitting --- */

static enum tbs_err check_plan(struct tbs_bytes secret, const struct shares_plan *plan,
                               struct tbs_diag *diag)
{
    if (secret.len < SHARES_SECRET_MIN || secret.len > SHARES_SECRET_MAX || secret.len % 2 != 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a secret to share has an even number of octets, from %d to %d",
                        SHARES_SECRET_MIN, SHARES_SECRET_MAX);
    if (plan->people > SHARES_MAX || plan->exponent > SHARES_EXPONENT_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "a set has at most %d shares, its exponent is at most %d", SHARES_MAX,
                        SHARES_EXPONENT_MAX);
    if (plan->need < 1 || plan->need > plan->people || (plan->need == 1 && plan->people > 1))
        return tbs_fail(diag, TBS_ERR_INVALID, "%u of %u shares is no way to share a secret",
                        plan->need, plan->people);
    if ((plan->need == 1 || plan->need == plan->people) && !plan->waived)
        return tbs_fail(diag, TBS_ERR_DENIED, "with %u of %u shares %s; that needs a signed waiver",
                        plan->need, plan->people,
                        plan->need == 1 ? "one person alone has the secret"
                                        : "the loss of one share loses the secret");
    return TBS_OK;
}

static enum tbs_err make_shares(size_t len, const struct shares_plan *plan, unsigned id,
                                struct share *shares, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < plan->people; i++) {
        shares[i] = (struct share){.id = id,
                                   .extendable = true,
                                   .exponent = plan->exponent,
                                   .group_threshold = 1,
                                   .groups = 1,
                                   .index = i,
                                   .threshold = plan->need};
        enum tbs_err err = tbs_secret_alloc(len, &shares[i].value, diag);
        if (err != TBS_OK)
            return err;
    }
    return TBS_OK;
}

/* need - 2 shares are random; with the points of the digest and of the secret they are as many as
 * are needed, and give the others. */
static enum tbs_err fill(const struct tbs_secret *secret, struct tbs_secret *digest,
                         const struct shares_plan *plan, struct share *shares,
                         struct tbs_diag *diag)
{
    struct point points[SHARES_MAX];
    size_t n = 0, len = secret->len;
    if (plan->need == 1) {
        memcpy(shares[0].value.data, secret->data, len);
        return TBS_OK;
    }
    if (RAND_priv_bytes(digest->data + DIGEST_LEN, (int)(len - DIGEST_LEN)) != 1 ||
        !put_digest(secret, digest))
        return crypto_failed(diag);
    for (; n < plan->need - 2; n++) {
        if (RAND_priv_bytes(shares[n].value.data, (int)len) != 1)
            return crypto_failed(diag);
        points[n] = (struct point){(uint8_t)n, shares[n].value.data};
    }
    points[n] = (struct point){DIGEST_X, digest->data};
    points[n + 1] = (struct point){SECRET_X, secret->data};
    for (size_t i = n; i < plan->people; i++)
        shamir_at(points, plan->need, len, (uint8_t)i, shares[i].value.data);
    return TBS_OK;
}

enum tbs_err shares_split(struct tbs_bytes secret, struct tbs_bytes passphrase,
                          const struct shares_plan *plan, struct share ret_shares[SHARES_MAX],
                          struct tbs_diag *diag)
{
    struct share shares[SHARES_MAX] = {0};
    struct tbs_secret copy TBS_SECRET_AUTO = {0}, digest TBS_SECRET_AUTO = {0};
    uint8_t id[2];
    enum tbs_err err = check_plan(secret, plan, diag);
    if (err == TBS_OK && RAND_bytes(id, sizeof id) != 1)
        err = crypto_failed(diag);
    if (err == TBS_OK)
        err = tbs_secret_copy(secret, &copy, diag);
    if (err == TBS_OK)
        err = tbs_secret_alloc(secret.len, &digest, diag);
    if (err == TBS_OK)
        err = make_shares(secret.len, plan, (unsigned)(id[0] << 8 | id[1]) & ID_MASK, shares, diag);
    if (err == TBS_OK)
        err = feistel(&copy, passphrase, &shares[0], true, diag);
    if (err == TBS_OK)
        err = fill(&copy, &digest, plan, shares, diag);
    if (err == TBS_OK)
        memcpy(ret_shares, shares, plan->people * sizeof *shares);
    else
        free_all(shares, SHARES_MAX);
    return err;
}

/* --- Rebuilding --- */

/* The secret of one group, or of all groups. */
static enum tbs_err rebuild(const struct point *points, size_t n, size_t len,
                            struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    struct tbs_secret secret TBS_SECRET_AUTO = {0}, point TBS_SECRET_AUTO = {0};
    struct tbs_secret again TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_secret_alloc(len, &secret, diag);
    if (err == TBS_OK)
        err = tbs_secret_alloc(len, &point, diag);
    if (err != TBS_OK)
        return err;
    if (n == 1) { /* without a digest */
        memcpy(secret.data, points[0].y, len);
    } else {
        shamir_at(points, n, len, SECRET_X, secret.data);
        shamir_at(points, n, len, DIGEST_X, point.data);
        err = tbs_secret_copy(tbs_secret_view(&point), &again, diag);
        if (err == TBS_OK && !put_digest(&secret, &again))
            err = crypto_failed(diag);
        if (err == TBS_OK && !tbs_secret_equal(tbs_secret_view(&again), tbs_secret_view(&point)))
            err = tbs_fail(diag, TBS_ERR_AUTH,
                           "these shares do not give a secret: one is wrong, or not of this set");
    }
    if (err == TBS_OK) {
        *ret_secret = secret;
        secret = (struct tbs_secret){0};
    }
    return err;
}

static bool same_set(const struct share *a, const struct share *b)
{
    return a->id == b->id && a->extendable == b->extendable && a->exponent == b->exponent &&
           a->groups == b->groups && a->group_threshold == b->group_threshold &&
           a->value.len == b->value.len;
}

static enum tbs_err check_pair(const struct share *a, const struct share *b, struct tbs_diag *diag)
{
    if (!same_set(a, b) || (a->group == b->group && a->threshold != b->threshold))
        return tbs_fail(diag, TBS_ERR_INVALID, "these shares are of different sets");
    if (a->group == b->group && a->index == b->index)
        return tbs_fail(diag, TBS_ERR_INVALID, "share %u is there twice", a->index + 1);
    return TBS_OK;
}

/* The number of shares of each group. */
static enum tbs_err check_set(const struct share *shares, size_t n, size_t members[SHARES_MAX],
                              struct tbs_diag *diag)
{
    size_t groups = 0;
    if (n == 0 || n > SHARES_MAX * SHARES_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID, "there are no shares, or too many");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            enum tbs_err err = check_pair(&shares[j], &shares[i], diag);
            if (err != TBS_OK)
                return err;
        }
        groups += members[shares[i].group]++ == 0;
    }
    for (size_t i = 0; i < n; i++)
        if (members[shares[i].group] != shares[i].threshold)
            return tbs_fail(diag, TBS_ERR_INVALID, "there are %zu shares, and it takes %u",
                            members[shares[i].group], shares[i].threshold);
    if (groups != shares[0].group_threshold)
        return tbs_fail(diag, TBS_ERR_INVALID, "there are shares of %zu groups, and it takes %u",
                        groups, shares[0].group_threshold);
    return TBS_OK;
}

static enum tbs_err rebuild_group(const struct share *shares, size_t n, unsigned group,
                                  struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    struct point points[SHARES_MAX];
    size_t members = 0;
    for (size_t i = 0; i < n; i++)
        if (shares[i].group == group)
            points[members++] = (struct point){(uint8_t)shares[i].index, shares[i].value.data};
    return rebuild(points, members, shares[0].value.len, ret_secret, diag);
}

static enum tbs_err rebuild_all(const struct share *shares, size_t n,
                                const size_t members[SHARES_MAX], struct tbs_secret *ret_secret,
                                struct tbs_diag *diag)
{
    struct tbs_secret of[SHARES_MAX] = {0};
    struct point points[SHARES_MAX];
    size_t groups = 0;
    enum tbs_err err = TBS_OK;
    for (unsigned g = 0; err == TBS_OK && g < SHARES_MAX; g++) {
        if (members[g] == 0)
            continue;
        err = rebuild_group(shares, n, g, &of[groups], diag);
        points[groups] = (struct point){(uint8_t)g, of[groups].data};
        groups++;
    }
    if (err == TBS_OK)
        err = rebuild(points, groups, shares[0].value.len, ret_secret, diag);
    for (size_t i = 0; i < groups; i++)
        tbs_secret_free(&of[i]);
    return err;
}

enum tbs_err shares_combine(const struct share *shares, size_t n, struct tbs_bytes passphrase,
                            struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    size_t members[SHARES_MAX] = {0};
    struct tbs_secret secret = {0};
    enum tbs_err err = check_set(shares, n, members, diag);
    if (err == TBS_OK)
        err = rebuild_all(shares, n, members, &secret, diag);
    if (err == TBS_OK)
        err = feistel(&secret, passphrase, &shares[0], false, diag);
    if (err == TBS_OK)
        *ret_secret = secret;
    else
        tbs_secret_free(&secret);
    return err;
}

/* --- Commitments --- */

enum tbs_err share_commit(const struct share *share, uint8_t ret_commitment[SHARES_COMMITMENT_LEN],
                          struct tbs_diag *diag)
{
    const uint8_t place[] = {(uint8_t)(share->id >> 8), (uint8_t)share->id, (uint8_t)share->index};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, "tbs-kms share", strlen("tbs-kms share")) == 1 &&
              EVP_DigestUpdate(ctx, place, sizeof place) == 1 &&
              EVP_DigestUpdate(ctx, share->value.data, share->value.len) == 1 &&
              EVP_DigestFinal_ex(ctx, ret_commitment, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? TBS_OK : crypto_failed(diag);
}

enum tbs_err share_check(const struct share *share, const uint8_t commitment[SHARES_COMMITMENT_LEN],
                         struct tbs_diag *diag)
{
    uint8_t is[SHARES_COMMITMENT_LEN];
    enum tbs_err err = share_commit(share, is, diag);
    if (err == TBS_OK &&
        !tbs_secret_equal(tbs_bytes(is, sizeof is), tbs_bytes(commitment, sizeof is)))
        err = tbs_fail(diag, TBS_ERR_AUTH, "share %u is not the one that was handed out",
                       share->index + 1);
    return err;
}
