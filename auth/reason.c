#include "auth/reason.h"


#define STR(literal)                                                           \
    {                                                                          \
        literal, sizeof(literal) - 1                                           \
    }

static const aml_reason_info_t infos[AML_REASON_COUNT] = {
#define X(NAME, code, status, title, text, next)                               \
    {STR(#code), status, STR(title), STR(text), STR(next)},
    AML_REASONS(X)
#undef X
};


const aml_reason_info_t *
aml_reason_info(aml_reason_t reason)
{
    /* Through unsigned, so that a negative value is out of range as well. */
    if ((unsigned) reason >= AML_REASON_COUNT) {
        reason = AML_REASON_REGISTRY_UNAVAILABLE;
    }

    return &infos[reason];
}


aml_reason_t
aml_reason_find(aml_str_t code)
{
    unsigned i;

    for (i = 0; i < AML_REASON_COUNT; i++) {
        if (aml_str_eq(infos[i].code, code)) {
            return (aml_reason_t) i;
        }
    }

    return AML_REASON_COUNT;
}
