/*
 * The commands of aml, what they take, and what their help says.  docs/cli.md
 * and the manual page have the same; t/integration/aml_docs.t compares them.
 */

#include "cli/cli.h"

static const cli_option_t login_options[] = {
    {"server", 's', "URL", "the studio's address, https://aml.example.org", 0},
    {"account", 'a', "NAME", "a local account; the password is asked for", 0},
    {"token-stdin", 0, NULL, "a personal access token, from standard input", 0},
    {"ca", 0, "FILE", "certificates of authorities, PEM, for this server", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t wait_options[] = {
    {"no-wait", 0, NULL, "come back as soon as it has begun", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t list_options[] = {
    {"mine", 'm', NULL, "one's own only", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t delete_options[] = {
    {"yes", 'y', NULL, "do not ask", 0},
    {"no-wait", 0, NULL, "come back as soon as it has begun", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t create_options[] = {
    {"size", 's', "SIZE", "such as STANDARD_DS3_V2", 0},
    {"idle", 'i', "TIME", "stop it when unused for so long: 30m, 2h", 0},
    {"ssh-key", 'k', "FILE", "let this public key in by SSH", 0},
    {"creation-script", 0, "FILE", "run once, when it is created", 0},
    {"startup-script", 0, "FILE", "run at each start", 0},
    {"start-at", 0, "CRON", "start it at these times", 0},
    {"stop-at", 0, "CRON", "stop it at these times", 0},
    {"time-zone", 0, "ZONE", "of these times; UTC", 0},
    {"tag", 't', "NAME=VALUE", "a tag; may come more than once", 1},
    {"description", 'd', "TEXT", "for people", 0},
    {"for", 0, "ID", "the principal whose it will be", 0},
    {"subnet", 0, "ID", "what it means is the engine's", 0},
    {"no-wait", 0, NULL, "come back as soon as it has begun", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t submit_options[] = {
    {"instance", 'i', "NAME", "where it runs", 0},
    {"name", 'n', "NAME", "of the job; one is made up otherwise", 0},
    {"env", 'e', "NAME=VALUE", "a variable; may come more than once", 1},
    {"timeout", 't', "TIME", "end it after so long: 30m, 2h", 0},
    {"image", 0, "IMAGE", "in a container of this image", 0},
    {"directory", 'C', "PATH", "in one's folder, or in the share by /", 0},
    {"experiment", 0, "NAME", "what it belongs to", 0},
    {"wait", 0, NULL, "follow it to its end", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t jobs_options[] = {
    {"instance", 'i', "NAME", "those of this instance", 0},
    {"all", 'a', NULL, "those that are archived, too", 0},
    {"most", 'n', "NUMBER", "so many at the most, 50; 0 is all", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t logs_options[] = {
    {"follow", 'f', NULL, "go on until it has ended", 0},
    {"tail", 0, "BYTES", "only the end", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t service_options[] = {
    {"port", 'P', "TARGET:PUBLISHED", "what it listens on; may come again", 1},
    {"tcp", 0, NULL, "its ports speak no HTTP", 0},
    {"image", 0, "IMAGE", "in a container of this image", 0},
    {"env", 'e', "NAME=VALUE", "a variable; may come more than once", 1},
    {"no-auto-start", 0, NULL, "it is started by you only", 0},
    {"replace", 0, NULL, "also where there is one of the name", 0},
    {"no-wait", 0, NULL, "come back as soon as it has begun", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t ssh_options[] = {
    {"identity", 'i', "FILE", "the private key", 1},
    {"local", 'L', "FORWARD", "as ssh has it", 1},
    {"remote", 'R', "FORWARD", "as ssh has it", 1},
    {"dynamic", 'D', "FORWARD", "as ssh has it", 1},
    {"option", 'o', "NAME=VALUE", "as ssh has it", 1},
    {"no-command", 'N', NULL, "forwards only", 0},
    {"tty", 't', NULL, "a terminal for the command", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t ssh_config_options[] = {
    {"write", 0, NULL, "keep it, and let ~/.ssh/config lead there", 0},
    {"remove", 0, NULL, "take it out again", 0},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_option_t open_options[] = {
    {"print", 0, NULL, "print the address, and start no browser", 0},
    {NULL, 0, NULL, NULL, 0},
};

const cli_command_t cli_commands[] = {
    {"login", "", "sign in",
     "Shows an address and a code; open the address in any browser, sign in "
     "there,\nand approve.  With --account it asks for a password.  What was "
     "given before\nis kept for a profile: \"aml login\" alone signs in anew.",
     login_options, cli_login, 0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
    {"logout", "", "sign out, there and here", NULL, NULL, cli_logout, 0, 0, 0,
     CLI_COMPLETE_NOTHING, NULL},
    {"whoami", "", "who you are, and where", NULL, NULL, cli_status, 0, 0, 0,
     CLI_COMPLETE_NOTHING, NULL},
    {"profiles", "", "servers you are signed in to", NULL, NULL, cli_profiles,
     0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
    {"token", "", "print an access token, for other programs",
     "Give it to nobody: it is you.  It is renewed first where little of its "
     "time is\nleft.",
     NULL, cli_print_token, 0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
    {"instance list", "", "instances of the workspace", NULL, list_options,
     cli_instance_list, 0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
    {"instance show", "NAME", "one of them", NULL, NULL, cli_instance_show, 1,
     1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"instance create", "NAME", "make one",
     "Names have 3 to 24 letters, digits and \"-\".  Without --size it has the "
     "first of the\nserver's sizes.  A private key stays where it is.",
     create_options, cli_instance_create, 1, 1, 0, CLI_COMPLETE_NOTHING, NULL},
    {"instance start", "NAME", "start it", NULL, wait_options,
     cli_instance_start, 1, 1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"instance stop", "NAME", "stop it; files are kept", NULL, wait_options,
     cli_instance_stop, 1, 1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"instance restart", "NAME", "stop it and start it", NULL, wait_options,
     cli_instance_restart, 1, 1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"instance delete", "NAME", "delete it; files of the share are kept", NULL,
     delete_options, cli_instance_delete, 1, 1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"job submit", "-- COMMAND...", "submit a command to an instance's queue",
     "One word is a line of a shell; several are a program and its arguments.\n"
     "With --wait the exit status is 0 if the job is Completed and 6 if not.",
     submit_options, cli_job_submit, 1, -1, 0, CLI_COMPLETE_NOTHING, NULL},
    {"job list", "", "jobs, the newest first", NULL, jobs_options, cli_job_list,
     0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
    {"job show", "JOB", "one of them", NULL, NULL, cli_job_show, 1, 1, 0,
     CLI_COMPLETE_JOB, NULL},
    {"job logs", "JOB", "what it has written", NULL, logs_options, cli_job_logs,
     1, 1, 0, CLI_COMPLETE_JOB, NULL},
    {"job cancel", "JOB", "end it", NULL, wait_options, cli_job_cancel, 1, 1, 0,
     CLI_COMPLETE_JOB, NULL},
    {"job delete", "JOB", "forget one that has ended; its files are kept", NULL,
     NULL, cli_job_delete, 1, 1, 0, CLI_COMPLETE_JOB, NULL},
    {"service list", "INSTANCE", "services of an instance", NULL, NULL,
     cli_service_list, 1, 1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"service add", "INSTANCE NAME [-- COMMAND...]",
     "run a command as long as the instance does",
     "It is reached at the port that is published, the target where nothing "
     "is said.",
     service_options, cli_service_add, 2, -1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"service remove", "INSTANCE NAME", "end it, and forget it", NULL, NULL,
     cli_service_remove, 2, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"service start", "INSTANCE NAME", "start it", NULL, wait_options,
     cli_service_start, 2, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"service stop", "INSTANCE NAME", "stop it", NULL, wait_options,
     cli_service_stop, 2, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"service restart", "INSTANCE NAME", "stop it and start it", NULL,
     wait_options, cli_service_restart, 2, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"service logs", "INSTANCE NAME", "the end of what it has written", NULL,
     NULL, cli_service_logs, 2, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"open", "NAME [lab|tree|rstudio|vscode|PORT]",
     "open an application in a browser",
     "Prints the address, and starts $BROWSER or the desktop's browser where "
     "there is one.",
     open_options, cli_open, 1, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"ssh", "NAME [COMMAND...]", "come in by SSH",
     "Runs OpenSSH's ssh; its exit status is that of ssh.", ssh_options,
     cli_ssh, 1, -1, 1, CLI_COMPLETE_INSTANCE, NULL},
    {"ssh-config", "[NAME]", "an entry for OpenSSH and VS Code Remote-SSH",
     "Of one instance, or of all of one's own.  The host is NAME.aml.",
     ssh_config_options, cli_ssh_config, 0, 1, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"tunnel", "NAME [PORT]", "connect standard input and output to a port",
     "Port 22, where nothing is said, is SSH: this is a ProxyCommand of ssh.",
     NULL, cli_tunnel, 1, 2, 0, CLI_COMPLETE_INSTANCE, NULL},
    {"completion", "bash|zsh", "what a shell needs to complete aml's words",
     "bash:  . <(aml completion bash)\nzsh:   . <(aml completion zsh)", NULL,
     cli_completion, 1, 1, 0, CLI_COMPLETE_WORDS, "bash zsh"},
    {"complete", "WORD...", NULL, NULL, NULL, cli_complete, 0, -1, 1,
     CLI_COMPLETE_NOTHING, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
};
