#include "auth/label.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PRODUCT_MAX 40


void
amld_label_time(int64_t seconds, char text[AMLD_LABEL_SIZE])
{
    time_t t = (time_t) seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL ||
        strftime(text, AMLD_LABEL_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        text[0] = '\0';
    }
}


typedef struct {
    const char *mark; /* in the User-Agent; the first that is there counts */
    const char *name;
} label_t;

/* Browsers name those that they want to be taken for, too. */
static const label_t label_browsers[] = {
    {"Edg/", "Edge"},          {"EdgA/", "Edge"},
    {"EdgiOS/", "Edge"},       {"OPR/", "Opera"},
    {"Vivaldi/", "Vivaldi"},   {"SamsungBrowser/", "Samsung Internet"},
    {"FxiOS/", "Firefox"},     {"Firefox/", "Firefox"},
    {"CriOS/", "Chrome"},      {"HeadlessChrome/", "Chrome"},
    {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
    {"Safari/", "Safari"},     {NULL, NULL}};

static const label_t label_systems[] = {
    {"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"},
    {"iPad", "iPad"},       {"Macintosh", "macOS"}, {"CrOS", "ChromeOS"},
    {"Linux", "Linux"},     {"FreeBSD", "FreeBSD"}, {NULL, NULL}};


static const char *
label_find(const label_t *list, const char *agent)
{
    for (; list->mark != NULL; list++) {
        if (strstr(agent, list->mark) != NULL) {
            return list->name;
        }
    }

    return NULL;
}


void
amld_label_agent(const char *agent, char text[AMLD_LABEL_SIZE])
{
    const char *browser, *system;
    size_t n;

    if (strncmp(agent, "Mozilla/", 8) == 0) {
        browser = label_find(label_browsers, agent);
        system = label_find(label_systems, agent);
        (void) snprintf(text, AMLD_LABEL_SIZE, "%s%s%s",
                        browser != NULL ? browser : "a browser",
                        system != NULL ? " on " : "",
                        system != NULL ? system : "");
        return;
    }

    for (n = 0; n < PRODUCT_MAX && agent[n] >= ' ' && agent[n] < 0x7f &&
                agent[n] != '/';
         n++) {
        text[n] = agent[n];
    }
    text[n] = '\0';

    if (n == 0) {
        (void) snprintf(text, AMLD_LABEL_SIZE, "an unknown client");
    }
}


void
amld_label_client(const char *method, const char *agent,
                  char text[AMLD_LABEL_SIZE])
{
    size_t n;

    if (strcmp(method, "device") != 0) {
        amld_label_agent(agent, text);
        return;
    }

    /* cut where a character ends */
    n = strnlen(agent, AMLD_LABEL_SIZE - 1);
    while (n > 0 && ((unsigned char) agent[n] & 0xc0) == 0x80) {
        n--;
    }
    memcpy(text, agent, n);
    text[n] = '\0';
}
