/*
 * aml instance create.
 */

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/create.h"
#include "cli/paths.h"
#include "cli/text.h"

#define KEY_MOST (16UL * 1024)
#define SCRIPT_MOST (64UL * 1024)


int
cli_minutes(const char *text, char *out, size_t size)
{
    char *end;
    unsigned long n;

    if (text[0] == 'P') {
        snprintf(out, size, "%s", text);
        return 0;
    }
    if (!isdigit((unsigned char) text[0])) {
        return -1;
    }
    errno = 0;
    n = strtoul(text, &end, 10);
    if (strcmp(end, "h") == 0) {
        n = n < 100000 ? n * 60 : 0;
    } else if (strcmp(end, "d") == 0) {
        n = n < 100000 ? n * 24 * 60 : 0;
    } else if (strcmp(end, "") != 0 && strcmp(end, "m") != 0) {
        return -1;
    }
    if (errno != 0 || n == 0) {
        return -1;
    }
    snprintf(out, size, "PT%luM", n);

    return 0;
}


/* The first key of a file such as ~/.ssh/id_ed25519.pub. */
static int
create_key(cli_t *cli, json_t *inner)
{
    const char *file = cli_option(&cli->args, "ssh-key");
    unsigned long n;
    char *text;

    if (file == NULL) {
        return 0;
    }
    text = cli_path_read(file, KEY_MOST, &n);
    if (text == NULL) {
        return cli_fail(CLI_EXIT_USAGE, "%s: %s", file, strerror(errno));
    }
    text[strcspn(text, "\r\n")] = '\0';
    if (strstr(text, "PRIVATE KEY") != NULL) {
        explicit_bzero(text, n);
        free(text);
        return cli_fail(CLI_EXIT_USAGE,
                        "%s is a private key, which nobody else may have; "
                        "its public key is in %s.pub",
                        file, file);
    }
    json_object_set_new(inner, "sshSettings",
                        json_pack("{s:s,s:s}", "sshPublicAccess", "Enabled",
                                  "adminPublicKey", text));
    free(text);

    return 0;
}


static int
create_script(cli_t *cli, json_t *scripts, const char *option,
              const char *member)
{
    const char *file = cli_option(&cli->args, option);
    unsigned long n;
    char *text, *encoded;

    if (file == NULL) {
        return 0;
    }
    text = cli_path_read(file, SCRIPT_MOST, &n);
    if (text == NULL) {
        return cli_fail(CLI_EXIT_USAGE, "%s: %s", file,
                        errno == EFBIG ? "a script has at most 64 KiB"
                                       : strerror(errno));
    }
    encoded = malloc((n + 2) / 3 * 4 + 1);
    if (encoded != NULL) {
        (void) EVP_EncodeBlock((unsigned char *) encoded,
                               (unsigned char *) text, (int) n);
        json_object_set_new(scripts, member,
                            json_pack("{s:s,s:s}", "scriptSource", "inline",
                                      "scriptData", encoded));
    }
    free(encoded);
    free(text);

    return 0;
}


static int
create_tags(cli_t *cli, json_t *body)
{
    const char *tag, *value;
    json_t *tags = json_object();
    char *name;
    size_t i;

    for (i = 0; (tag = cli_option_each(&cli->args, "tag", i)) != NULL; i++) {
        value = strchr(tag, '=');
        if (value == NULL || value == tag) {
            json_decref(tags);
            return cli_fail(CLI_EXIT_USAGE, "--tag wants NAME=VALUE");
        }
        name = strndup(tag, (size_t) (value - tag));
        if (name != NULL) {
            json_object_set_new(tags, name, json_string(value + 1));
        }
        free(name);
    }
    if (json_object_size(tags) > 0) {
        json_object_set(body, "tags", tags);
    }
    json_decref(tags);

    return 0;
}


static void
create_schedule(cli_t *cli, json_t *list, const char *option,
                const char *action)
{
    const char *cron = cli_option(&cli->args, option);
    const char *zone = cli_option(&cli->args, "time-zone");

    if (cron != NULL) {
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:{s:s,s:s}}", "action", action,
                            "triggerType", "Cron", "status", "Enabled", "cron",
                            "expression", cron, "timeZone",
                            zone != NULL ? zone : "UTC"));
    }
}


static int
create_inner(cli_t *cli, json_t *inner)
{
    const char *size = cli_option(&cli->args, "size");
    const char *idle = cli_option(&cli->args, "idle");
    const char *subnet = cli_option(&cli->args, "subnet");
    const char *owner = cli_option(&cli->args, "for");
    json_t *scripts = json_object(), *list = json_array();
    char minutes[32];
    int rc = 0;

    if (size != NULL) {
        json_object_set_new(inner, "vmSize", json_string(size));
    }
    if (idle != NULL) {
        if (cli_minutes(idle, minutes, sizeof(minutes)) != 0) {
            rc = cli_fail(CLI_EXIT_USAGE,
                          "--idle wants a time such as 30m or 2h");
        }
        json_object_set_new(inner, "idleTimeBeforeShutdown",
                            json_string(minutes));
    }
    if (subnet != NULL) {
        json_object_set_new(inner, "subnet", json_pack("{s:s}", "id", subnet));
    }
    if (owner != NULL) {
        json_object_set_new(
            inner, "personalComputeInstanceSettings",
            json_pack("{s:{s:s}}", "assignedUser", "objectId", owner));
    }

    create_schedule(cli, list, "start-at", "Start");
    create_schedule(cli, list, "stop-at", "Stop");
    if (json_array_size(list) > 0) {
        json_object_set_new(inner, "schedules",
                            json_pack("{s:O}", "computeStartStop", list));
    }

    rc = rc ? rc : create_key(cli, inner);
    rc = rc ? rc
            : create_script(cli, scripts, "creation-script", "creationScript");
    rc = rc ? rc
            : create_script(cli, scripts, "startup-script", "startupScript");
    if (json_object_size(scripts) > 0) {
        json_object_set_new(inner, "setupScripts",
                            json_pack("{s:O}", "scripts", scripts));
    }
    json_decref(scripts);
    json_decref(list);

    return rc;
}


/* The workspace's; where one may not read that, the server knows it. */
static void
create_location(cli_t *cli, json_t *body)
{
    json_t *workspace;

    cli->quiet++;
    if (cli_get(cli, cli->workspace, &workspace) == 0) {
        json_object_set(body, "location",
                        json_object_get(workspace, "location"));
        json_decref(workspace);
    }
    cli->quiet--;
}


/* One that is there would be changed: that is not what is meant. */
static int
create_is_new(cli_t *cli, const char *path)
{
    json_t *compute;
    int rc;

    cli->quiet++;
    rc = cli_get(cli, path, &compute);
    cli->quiet--;
    if (rc == 0) {
        json_decref(compute);
        return cli_fail(CLI_EXIT_FAILED,
                        "there is an instance \"%s\" already; aml instance "
                        "show %s",
                        cli->args.argv[0], cli->args.argv[0]);
    }

    return rc == CLI_EXIT_NOT_FOUND ? 0 : cli_get(cli, path, &compute);
}


int
cli_instance_create(cli_t *cli)
{
    const char *description = cli_option(&cli->args, "description");
    cli_answer_t answer;
    json_t *body, *inner = json_object();
    char *path;
    int rc;

    rc = cli_workspace_load(cli);
    if (rc != 0) {
        json_decref(inner);
        return rc;
    }
    path = cli_path_of(cli, "computes", cli->args.argv[0], "");
    body = json_pack("{s:{s:s,s:O,s:s*}}", "properties", "computeType",
                     "ComputeInstance", "properties", inner, "description",
                     description);
    rc = path == NULL   ? CLI_EXIT_USAGE
         : body == NULL ? cli_fail(CLI_EXIT_USAGE,
                                   "the description is no UTF-8, or there is "
                                   "no memory")
                        : create_inner(cli, inner);
    rc = rc ? rc : create_tags(cli, body);
    rc = rc ? rc : create_is_new(cli, path);
    if (rc == 0) {
        create_location(cli, body);
        rc = cli_call(cli, "PUT", path, body, &answer);
        cli_answer_clear(&answer);
    }
    json_decref(inner);
    json_decref(body);
    free(path);

    return rc != 0 ? rc : cli_instance_wait(cli, "Create");
}
