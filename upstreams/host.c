#include "upstreams/host.h"


static int
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}


static int
is_digit(char c)
{
    return c >= '0' && c <= '9';
}


aml_name_rc_t
aml_instance_name_check(aml_str_t name)
{
    size_t i;
    int letter_behind = 0;

    if (name.n < AML_INSTANCE_NAME_MIN || name.n > AML_INSTANCE_NAME_MAX) {
        return AML_NAME_LENGTH;
    }
    if (!is_letter(name.p[0])) {
        return AML_NAME_START;
    }

    for (i = 0; i < name.n; i++) {
        if (!is_letter(name.p[i]) && !is_digit(name.p[i]) && name.p[i] != '-') {
            return AML_NAME_CHARACTER;
        }
    }

    for (i = name.n; i-- > 0;) {
        if (is_letter(name.p[i])) {
            letter_behind = 1;
        } else if (name.p[i] == '-' && !letter_behind) {
            return AML_NAME_DASH;
        }
    }

    return AML_NAME_OK;
}


const char *
aml_instance_name_rule(aml_name_rc_t rc)
{
    switch (rc) {
    case AML_NAME_OK:
        return "The name is well-formed.";
    case AML_NAME_LENGTH:
        return "The name must have 3 to 24 characters.";
    case AML_NAME_START:
        return "The name must start with a letter.";
    case AML_NAME_CHARACTER:
        return "The name may have letters, digits and '-' only.";
    case AML_NAME_DASH:
        return "Every '-' in the name must be followed by a letter somewhere "
               "later in the name.";
    }

    return "The name is not well-formed.";
}


/* "-<digits>" at the end of the label, if that is how it ends: cuts it off.
 * 0, or -1 when the digits are no port or the default one. */
static int
take_port(aml_str_t *label, unsigned *port)
{
    size_t digits = 0, i;
    unsigned value = 0;

    *port = AML_PORT_DEFAULT;

    while (digits < label->n && is_digit(label->p[label->n - 1 - digits])) {
        digits++;
    }
    if (digits == 0 || digits == label->n ||
        label->p[label->n - 1 - digits] != '-') {
        return 0;
    }

    label->n -= digits;
    if (digits > 5 || label->p[label->n] == '0') {
        return -1;
    }
    for (i = 0; i < digits; i++) {
        value = value * 10 + (unsigned) (label->p[label->n + i] - '0');
    }
    label->n--;

    if (value > 65535 || value == AML_PORT_DEFAULT) {
        return -1;
    }
    *port = value;

    return 0;
}


int
aml_host_parse(aml_str_t host, aml_str_t apps, aml_host_t *h)
{
    aml_str_t label, domain;
    size_t i;
    char c;

    if (host.n > 0 && host.p[host.n - 1] == '.') {
        host.n--;
    }
    if (apps.n == 0 || host.n < apps.n + 2) {
        return -1;
    }

    label = (aml_str_t){host.p, host.n - apps.n - 1};
    domain = (aml_str_t){host.p + label.n + 1, apps.n};
    if (host.p[label.n] != '.' || !aml_str_caseeq(domain, apps)) {
        return -1;
    }

    if (take_port(&label, &h->port) != 0 ||
        aml_instance_name_check(label) != AML_NAME_OK) {
        return -1;
    }

    for (i = 0; i < label.n; i++) {
        c = label.p[i];
        h->name[i] = is_letter(c) ? (char) (c | 0x20) : c;
    }
    h->name_len = label.n;

    return 0;
}
