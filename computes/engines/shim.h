/*
 * amld shim: the parent of one command.
 *
 *   amld shim --log FILE|--log-fd FD [--log-max BYTES] [--hold FD]
 *             [--input FD] [--status FILE] [--user UID:GID:NAME]
 *             [--directory DIR] [--group] [--leave] -- command…
 *
 * It outlives amld, is a child subreaper in a session of its own, writes what
 * the command says to a bounded log, and leaves nothing behind: when the
 * command ends, or at SIGQUIT at once, every descendant is killed, also those
 * that called setsid().  SIGTERM and SIGINT are passed on as SIGTERM.  If it is
 * itself killed, the kernel kills the command (PR_SET_PDEATHSIG).
 *
 * With --hold nothing is started until one byte was read from FD; its end
 * calls it off.  So amld writes down which process it is before it runs.
 *
 * With --input the command's standard input is FD; else it is empty.
 *
 * With --status FILE is written when the command is let run ("began"), and
 * written over in place when all has ended ("exit 003"): it takes no room then
 * that a full disk could refuse, and tells a command that was called off from
 * one whose shim was killed.  Where it can't be written nothing is run.  With
 * --log-fd a second line tells what its disk has refused of the log: how many
 * bytes, and the last errno ("lost 8893 28").
 *
 * With --user the command, but not the shim, runs as that account with the
 * groups of NAME: it can neither end its shim nor write to its log.
 *
 * With --log-fd what the command says goes to FD, which appends; beyond BYTES
 * the beginning and the end are kept (cutlog.h).  It is nothing but the
 * command's: how it ended is in the status.
 *
 * With --directory the command is run there, which is entered with its rights.
 *
 * With --group SIGTERM is for all of the command's process group: it may be a
 * shell, which keeps a signal to itself.
 *
 * With --leave what the command has started and left goes on after its end; at
 * SIGQUIT that is still killed which has not left yet.  It is for what makes
 * something that stays.
 */

#ifndef AMLD_SHIM_H
#define AMLD_SHIM_H

/*
 * argv[0] is "shim".  Returns the exit status: the command's, 128 and the
 * signal's number when a signal ended it, 127 when it can't be run, 2 for
 * wrong arguments, 0 when it was called off.
 */
int amld_shim_main(int argc, char **argv);

#endif /* AMLD_SHIM_H */
