/*
 * Sealing, and the file of keys.
 */

#include "auth/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/hex.h"
#include "computes/amld.h"

#define VERSION 1
#define ID_SIZE 4
#define KEY_SIZE 32
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define HEAD_SIZE (1 + ID_SIZE + NONCE_SIZE)
#define LINE_SIZE (2 * ID_SIZE + 1 + 2 * KEY_SIZE + 1)
#define FILE_MAX ((size_t) 4096)

typedef struct {
    uint8_t id[ID_SIZE];
    uint8_t key[KEY_SIZE];
} sealed_key_t;

struct amld_sealer {
    size_t n;
    sealed_key_t keys[AMLD_SEALED_KEYS];
};


/* ---- the file ---- */

static int
file_sync(const char *file)
{
    char dir[4096];
    char *slash;
    int fd, rc;

    if (snprintf(dir, sizeof(dir), "%s", file) >= (int) sizeof(dir)) {
        return -1;
    }

    slash = strrchr(dir, '/');
    if (slash == NULL) {
        return 0;
    }
    *slash = '\0';

    fd = open(*dir != '\0' ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    rc = fsync(fd);
    close(fd);

    return rc;
}


/* Whole or not at all: what is sealed with a key that is lost is lost. */
static int
file_make(const char *file)
{
    uint8_t key[ID_SIZE + KEY_SIZE];
    char line[LINE_SIZE], part[4096];
    int fd, rc = -1;

    if (snprintf(part, sizeof(part), "%s.new", file) >= (int) sizeof(part)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    if (RAND_bytes(key, sizeof(key)) != 1) {
        errno = EIO;
        return -1;
    }

    aml_hex_encode(line, key, ID_SIZE);
    line[2 * ID_SIZE] = ' ';
    aml_hex_encode(line + 2 * ID_SIZE + 1, key + ID_SIZE, KEY_SIZE);
    line[LINE_SIZE - 1] = '\n';

    (void) unlink(part);
    fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        rc = write(fd, line, sizeof(line)) == (ssize_t) sizeof(line) &&
                     fsync(fd) == 0
                 ? 0
                 : -1;
        if (close(fd) != 0) {
            rc = -1;
        }
    }

    if (rc == 0) {
        rc = rename(part, file) == 0 && file_sync(file) == 0 ? 0 : -1;
    }

    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(line, sizeof(line));

    return rc;
}


/* Makes it where it is missing: at the first start, or it was lost. */
static int
file_begin(const char *file)
{
    if (access(file, F_OK) == 0 || errno != ENOENT) {
        return 0;
    }

    if (file_make(file) != 0) {
        return -1;
    }
    amld_log(AMLD_LOG_INFO, "%s: made, with a new sealing key", file);

    return 0;
}


/* The bytes of the file, NUL-ended; -1 and what is wrong. */
static int
file_read(const char *file, char text[FILE_MAX + 1], const char **wrong)
{
    struct stat st;
    ssize_t n = -1;
    int fd;

    fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *wrong = strerror(errno);
        return -1;
    }

    if (fstat(fd, &st) != 0) {
        *wrong = strerror(errno);

    } else if (!S_ISREG(st.st_mode) || st.st_size > (off_t) FILE_MAX) {
        *wrong = "it is not a file of keys";

    } else if (st.st_uid != geteuid()) {
        *wrong = "it is another user's; chown it to amld's";

    } else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        *wrong = "others may read or change it; chmod 600";

    } else {
        n = read(fd, text, FILE_MAX);
        if (n < 0) {
            *wrong = strerror(errno);
        }
    }

    close(fd);
    if (n >= 0) {
        text[n] = '\0';
    }

    return n >= 0 ? 0 : -1;
}


/* NULL, or what is wrong. */
static const char *
keys_read(amld_sealer_t *s, const char *text)
{
    sealed_key_t *k;
    size_t i, n;

    for (; *text != '\0'; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        if (n == 0) {
            continue;
        }
        if (s->n == AMLD_SEALED_KEYS) {
            return "it has too many keys";
        }

        k = &s->keys[s->n];
        if (n != LINE_SIZE - 1 || text[2 * ID_SIZE] != ' ' ||
            aml_hex_decode(k->id, text, ID_SIZE) != 0 ||
            aml_hex_decode(k->key, text + 2 * ID_SIZE + 1, KEY_SIZE) != 0) {
            return "a line is not 8 hex digits, a blank and 64 hex digits";
        }

        for (i = 0; i < s->n; i++) {
            if (memcmp(s->keys[i].id, k->id, ID_SIZE) == 0) {
                return "two keys have the same id";
            }
        }
        s->n++;
    }

    return s->n > 0 ? NULL : "it has no key";
}


amld_sealer_t *
amld_sealer_new(const char *file)
{
    char text[FILE_MAX + 1];
    const char *wrong = NULL;
    amld_sealer_t *s;

    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: no memory", file);
        return NULL;
    }

    if (file_begin(file) != 0) {
        wrong = strerror(errno);

    } else if (file_read(file, text, &wrong) == 0) {
        wrong = keys_read(s, text);
        OPENSSL_cleanse(text, sizeof(text));
    }

    if (wrong != NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", file, wrong);
        amld_sealer_free(s);
        return NULL;
    }

    return s;
}


void
amld_sealer_free(amld_sealer_t *s)
{
    if (s != NULL) {
        OPENSSL_cleanse(s, sizeof(*s));
        free(s);
    }
}


/* ---- sealing ---- */

static int
key_of(const sealed_key_t *k, aml_str_t what, uint8_t key[KEY_SIZE])
{
    unsigned n = KEY_SIZE;

    return what.n > 0 && HMAC(EVP_sha256(), k->key, KEY_SIZE,
                              (const uint8_t *) what.p, what.n, key, &n) != NULL
               ? 0
               : -1;
}


int
amld_seal(const amld_sealer_t *s, aml_str_t what, aml_str_t text,
          uint8_t *sealed)
{
    uint8_t key[KEY_SIZE], *nonce = sealed + 1 + ID_SIZE;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n, rc = -1;

    sealed[0] = VERSION;
    memcpy(sealed + 1, s->keys[0].id, ID_SIZE);

    if (ctx != NULL && text.n <= INT32_MAX &&
        RAND_bytes(nonce, NONCE_SIZE) == 1 &&
        key_of(&s->keys[0], what, key) == 0 &&
        EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) == 1 &&
        EVP_EncryptUpdate(ctx, NULL, &n, sealed, 1 + ID_SIZE) == 1 &&
        EVP_EncryptUpdate(ctx, sealed + HEAD_SIZE, &n, (const uint8_t *) text.p,
                          (int) text.n) == 1 &&
        EVP_EncryptFinal_ex(ctx, sealed + HEAD_SIZE + n, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE,
                            sealed + HEAD_SIZE + text.n) == 1) {
        rc = 0;
    }

    OPENSSL_cleanse(key, sizeof(key));
    EVP_CIPHER_CTX_free(ctx);

    return rc;
}


static const sealed_key_t *
key_by_id(const amld_sealer_t *s, const char *id)
{
    size_t i;

    for (i = 0; i < s->n; i++) {
        if (memcmp(s->keys[i].id, id, ID_SIZE) == 0) {
            return &s->keys[i];
        }
    }

    return NULL;
}


static int
is_sealed(aml_str_t sealed)
{
    return sealed.n >= AMLD_SEALED_EXTRA && sealed.n <= INT32_MAX &&
           sealed.p[0] == VERSION;
}


int
amld_sealer_opens(const amld_sealer_t *s, aml_str_t sealed)
{
    return is_sealed(sealed) && key_by_id(s, sealed.p + 1) != NULL;
}


int
amld_unseal(const amld_sealer_t *s, aml_str_t what, aml_str_t sealed,
            uint8_t *text)
{
    const uint8_t *in = (const uint8_t *) sealed.p;
    uint8_t key[KEY_SIZE], tag[TAG_SIZE];
    const sealed_key_t *k;
    EVP_CIPHER_CTX *ctx;
    int n, len, rc = -1;

    if (!is_sealed(sealed)) {
        return -1;
    }

    k = key_by_id(s, sealed.p + 1);
    ctx = k != NULL ? EVP_CIPHER_CTX_new() : NULL;
    if (ctx == NULL) {
        return -1;
    }

    len = (int) (sealed.n - AMLD_SEALED_EXTRA);
    memcpy(tag, in + sealed.n - TAG_SIZE, TAG_SIZE);

    if (key_of(k, what, key) == 0 &&
        EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, in + 1 + ID_SIZE,
                            NULL) == 1 &&
        EVP_DecryptUpdate(ctx, NULL, &n, in, 1 + ID_SIZE) == 1 &&
        EVP_DecryptUpdate(ctx, text, &n, in + HEAD_SIZE, len) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
        EVP_DecryptFinal_ex(ctx, text + n, &n) == 1) {
        rc = 0;
    } else {
        OPENSSL_cleanse(text, (size_t) len);
    }

    OPENSSL_cleanse(key, sizeof(key));
    EVP_CIPHER_CTX_free(ctx);

    return rc;
}
