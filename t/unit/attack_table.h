/*
 * t/data/identity-attacks.json, for tests of one core.  Tests run at the root.
 */

#ifndef AML_TEST_ATTACK_TABLE_H
#define AML_TEST_ATTACK_TABLE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>
#include <jansson.h>

#define ATTACK_TABLE "t/data/identity-attacks.json"

/* What stands for something in the table; longer names first. */
typedef struct {
    const char *name;
    const char *value;
} attack_placeholder_t;


/* All of it, the caller's; `rows` are those of one kind, of which there
 * must be more than `few`. */
static inline json_t *
attack_table(const char *kind, size_t few, json_t **rows)
{
    json_error_t err;
    json_t *table = json_load_file(ATTACK_TABLE, JSON_ALLOW_NUL, &err);

    if (table == NULL) {
        fail_msg("%s: %s", ATTACK_TABLE, err.text);
    }
    *rows = json_object_get(table, kind);
    assert_true(json_array_size(*rows) > few);

    return table;
}


/* What `text` says, with values for `n` placeholders, and for @now, @now+N and
 * @now-N; the caller frees.  With `latin1`, characters up to U+00FF are bytes.
 */
static inline char *
attack_text(const char *text, const attack_placeholder_t *placeholders,
            size_t n, long now, int latin1)
{
    size_t i, room = 0, used = 0;
    char *out, *end;

    for (i = 0; i < n; i++) {
        room = strlen(placeholders[i].value) > room
                   ? strlen(placeholders[i].value)
                   : room;
    }
    out = malloc((room + 24) * strlen(text) + 1);
    assert_non_null(out);

    while (*text != '\0') {
        for (i = 0; i < n && strncmp(text, placeholders[i].name,
                                     strlen(placeholders[i].name)) != 0;
             i++) {
            /* void */
        }

        if (i < n) {
            used += (size_t) sprintf(out + used, "%s", placeholders[i].value);
            text += strlen(placeholders[i].name);

        } else if (strncmp(text, "@now", 4) == 0) {
            used += (size_t) sprintf(out + used, "%ld",
                                     now + strtol(text + 4, &end, 10));
            text = end;

        } else if (latin1 && (*text & 0xe0) == 0xc0) {
            out[used++] = (char) ((*text & 3) << 6 | (text[1] & 0x3f));
            text += 2;

        } else {
            assert_true(*text != '@');
            out[used++] = *text++;
        }
    }
    out[used] = '\0';

    return out;
}

#endif /* AML_TEST_ATTACK_TABLE_H */
