/*
 * SSH: OpenSSH's sshd, one process a connection, behind a listener on a unix
 * socket, which sshd itself can't make.
 *
 * All that it reads is in the instance's private directory and is written anew
 * at each start: nothing in ~/.ssh lets anybody in or changes what a session
 * is.  The host key is made once.
 *
 * sshd begins a session with an environment of its own.  What the instance's
 * commands have in theirs it is given by SetEnv; where a session begins, and
 * that a login shell knows the notebooks' programs, is the forced command's.
 */

#include "upstreams/command_line.h"
#include "upstreams/peer.h"

#include <stdio.h>
#include <string.h>

#define KEPT "ssh"
#define QUOTED 8192

extern const aml_application_t aml_application_ssh;

/*
 * $1 sshd, $2 the socket, $3 this directory, $4 that of the notebooks'
 * programs.  A host key is made anew only where it is the key that can't be
 * read, as after a full disk, and not ssh-keygen that can't: one beside it can.
 * `nofork`: what is run is given the connection itself, nothing is copied.
 */
static const char ssh_listen[] =
    "umask 077\n"
    "AML_PATH=${4:+$4:}$PATH AML_SSHD=$1 AML_SSH=$3\n"
    "export AML_PATH AML_SSHD AML_SSH\n"
    "PATH=$PATH:/usr/sbin:/sbin\n"
    "cd -- \"$3\" || exit\n"
    "for program in socat ssh-keygen setpriv; do\n"
    "  command -v \"$program\" > /dev/null && continue\n"
    "  echo \"$program is missing, which SSH needs\"\n"
    "  exit 1\n"
    "done\n"
    "reads() { ssh-keygen -y -P '' -f \"$1\" > /dev/null; }\n"
    "if ! reads host_key 2> /dev/null; then\n"
    "  rm -rf host_key.new host_key.new.pub\n"
    "  ssh-keygen -q -t ed25519 -N '' -C '' -f host_key.new &&\n"
    "    reads host_key.new || exit\n"
    "  if [ -s host_key ]; then\n"
    "    cat host_key > /dev/null || exit\n"
    "    reads host_key\n"
    "    case $? in\n"
    "    0) ;;\n"
    "    255) echo 'The host key can not be read. It is host_key.broken now.'\n"
    "      mv -f host_key host_key.broken || exit ;;\n"
    "    *) exit 1 ;;\n"
    "    esac\n"
    "  fi\n"
    "  if [ ! -s host_key ]; then\n"
    "    mv host_key.new.pub host_key.pub && mv host_key.new host_key || exit\n"
    "  fi\n"
    "fi\n"
    /* Where root's sshd puts away what has not signed in. */
    "[ \"$(id -u)\" != 0 ] || [ -d /run/sshd ] || mkdir -m 0755 /run/sshd ||\n"
    "  exit\n"
    "at=$(printf %s \"$2\" | sed 's/[^A-Za-z0-9\\/._-]/\\\\&/g')\n"
    "exec socat \"UNIX-LISTEN:$at,unlink-early,mode=660,backlog=16,fork,"
    "max-children=64\" 'EXEC:/bin/sh connection,nofork'\n";

/*
 * For each connection.  It ends with the listener: sshd writes over what
 * /proc/…/environ shows, and is not found by the mark of its command there.
 */
static const char ssh_connection[] =
    "env=\n"
    "for pair in \"PATH=$AML_PATH\" \"AML_COMMAND=$AML_COMMAND\" \\\n"
    "  \"AML_INSTANCE=$AML_INSTANCE\" ${TMPDIR:+\"TMPDIR=$TMPDIR\"}; do\n"
    "  pair=$(printf %s \"$pair\" | sed 's/[\\\\\"]/\\\\&/g')\n"
    "  env=\"$env \\\"$pair\\\"\"\n"
    "done\n"
    "exec setpriv --pdeathsig TERM \"$AML_SSHD\" -i -e \\\n"
    "  -f \"$AML_SSH/sshd_config\" -o \"SetEnv$env\"\n";

/*
 * Behind "folder=… bin=…".  A login shell's profile begins PATH anew; so it is
 * one for the profile, and then the shell that a person sees.
 */
static const char ssh_session[] =
    "cd -- \"$folder\" || cd || cd /\n"
    "LANG=${LANG:-C.UTF-8}\n"
    "export LANG\n"
    "if [ -n \"${SSH_ORIGINAL_COMMAND+x}\" ]; then\n"
    "  command=$SSH_ORIGINAL_COMMAND\n"
    "  unset SSH_ORIGINAL_COMMAND\n"
    "  exec \"$SHELL\" -c \"$command\"\n"
    "fi\n"
    "case ${SHELL##*/} in\n"
    "bash | dash | ksh | mksh | sh | zsh)\n"
    "  [ -z \"$bin\" ] ||\n"
    "    exec \"$SHELL\" -lc 'case :$PATH in :$1:*) ;; *) PATH=$1:$PATH ;; "
    "esac\n"
    "      export PATH; exec \"$SHELL\"' sh \"$bin\" ;;\n"
    "esac\n"
    "exec \"$SHELL\" -l\n";

/*
 * Keys only, and who signs in is who runs it.  The directory is private to
 * them, so StrictModes, which looks at all above it, would only find fault with
 * where people have their files.  The gateway has let nobody in but them: that
 * an agent offers many keys is no attack.  It looks after the connection, too.
 */
static const char ssh_config[] =
    "HostKey \"%s/" KEPT "/host_key\"\n"
    "AuthorizedKeysFile \"%s/" KEPT "/authorized_keys\"\n"
    "ForceCommand exec /bin/sh %s\n"
    "%s%s%s"
    "PermitRootLogin %s\n"
    "AuthenticationMethods publickey\n"
    "PubkeyAuthentication yes\n"
    "PasswordAuthentication no\n"
    "KbdInteractiveAuthentication no\n"
    "HostbasedAuthentication no\n"
    "UsePAM no\n"
    "StrictModes no\n"
    "MaxAuthTries 30\n"
    "MaxSessions 64\n"
    "LoginGraceTime 30\n"
    "ClientAliveInterval 0\n"
    "UseDNS no\n"
    "PidFile none\n"
    "PrintMotd no\n"
    "PrintLastLog no\n"
    "PermitUserRC no\n"
    "PermitUserEnvironment no\n"
    "AcceptEnv LANG LC_* COLORTERM\n"
    "AllowTcpForwarding yes\n"
    "AllowStreamLocalForwarding yes\n"
    "AllowAgentForwarding yes\n"
    "GatewayPorts no\n"
    "PermitTunnel no\n"
    "X11Forwarding no\n"
    "Subsystem sftp %s\n";

static int ssh_quote(char out[QUOTED], const char *text);
static int ssh_plain(const char *name);


static int
ssh_command(const aml_application_vars_t *vars, const char **argv,
            const char **envp, char *room, size_t size)
{
    aml_command_line_t w = aml_command_line(argv, envp, room, size);

    if (strlen(vars->socket) > AML_PEER_PATH_MAX) {
        return -1;
    }

    aml_command_line_add(&w, "sh");
    aml_command_line_add(&w, "-c");
    aml_command_line_add(&w, "%s", ssh_listen);
    aml_command_line_add(&w, "ssh");
    aml_command_line_add(&w, "%s", vars->program);
    aml_command_line_add(&w, "%s", vars->socket);
    aml_command_line_add(&w, "%s/" KEPT, vars->runtime);
    aml_command_line_add(&w, "%s", vars->bin != NULL ? vars->bin : "");

    return aml_command_line_end(&w);
}


static int
ssh_files(const aml_application_vars_t *vars, aml_application_file_t *files,
          char *room, size_t size)
{
    char session[QUOTED], path[QUOTED], folder[QUOTED], bin[QUOTED];
    int named;
    const char *list[2];
    aml_command_line_t w = {room, size, list, 2, 0};

    if ((size_t) snprintf(path, sizeof(path), "%s/" KEPT "/session",
                          vars->runtime) >= sizeof(path) ||
        ssh_quote(session, path) != 0 ||
        ssh_quote(folder,
                  vars->folder != NULL ? vars->folder : vars->directory) != 0 ||
        ssh_quote(bin, vars->bin != NULL ? vars->bin : "") != 0) {
        return -1;
    }

    /* One that is not root can let in nobody else anyway. */
    named = vars->user != NULL && ssh_plain(vars->user);

    files[0] = (aml_application_file_t){KEPT, NULL};
    files[1] = (aml_application_file_t){
        KEPT "/authorized_keys",
        aml_command_line_text(
            &w, "%s\n", vars->public_key != NULL ? vars->public_key : "")};
    files[2] = (aml_application_file_t){
        KEPT "/sshd_config",
        aml_command_line_text(&w, ssh_config, vars->runtime, vars->runtime,
                              session, named ? "AllowUsers " : "",
                              named ? vars->user : "", named ? "\n" : "",
                              vars->as_root ? "prohibit-password" : "no",
                              "/usr/lib/openssh/sftp-server")};
    files[3] = (aml_application_file_t){KEPT "/connection", ssh_connection};
    files[4] = (aml_application_file_t){
        KEPT "/session", aml_command_line_text(&w, "folder=%s bin=%s\n%s",
                                               folder, bin, ssh_session)};
    files[5] = (aml_application_file_t){NULL, NULL};

    return aml_command_line_end(&w);
}


/* One word for a shell. */
static int
ssh_quote(char out[QUOTED], const char *text)
{
    char *p = out;

    *p++ = '\'';

    for (; *text != '\0'; text++) {
        if (p - out > QUOTED - 8) {
            return -1;
        }
        if (*text == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            *p++ = *text;
        }
    }

    *p++ = '\'';
    *p = '\0';

    return 0;
}


/* Means itself in a pattern. */
static int
ssh_plain(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
               '\0' &&
           *name != '\0';
}


const aml_application_t aml_application_ssh = {
    .name = "ssh",
    .port = 22,
    .tunnel = 1,
    .by_key = 1,
    .ready_banner = "SSH-2.0-",
    .command = ssh_command,
    .files = ssh_files,
};
