/*
 * Steps: what is run to an end for an instance, one after the other, before its
 * applications start and after they have ended.
 *
 * A step of a start is written into the document (computes.h, `step`) before it
 * runs, and found again by another amld: running, or ended with a result in its
 * status file.  CLEAR is not: it may be run twice, and must also run where the
 * registry is full.
 *
 * The supervisor's thread only.
 */

#ifndef AMLD_STEP_H
#define AMLD_STEP_H

#include "computes/instances/instance.h"

/* Its name in the document, and that of its log and its status file. */
const char *amld_step_name(amld_step_kind_t kind);

/* What it does, for people: "making the instance ready". */
const char *amld_step_title(amld_step_kind_t kind);

/*
 * Starts a step, held back; `doc` is needed but for CLEAR.  1, 0 when there is
 * nothing to do, -1 and why.
 */
int amld_step_exec(amld_instance_t *i, amld_step_kind_t kind, const json_t *doc,
                   char *err, size_t size);
void amld_step_release(amld_instance_t *i);
void amld_step_drop(amld_instance_t *i); /* called off, forgotten */

/* Writes i->step into the document; 0, or -1. */
int amld_step_record(const amld_instance_t *i, json_t *doc);

/* Takes over the document's step; 0 when there is none. */
int amld_step_adopt(amld_instance_t *i, const json_t *doc);

/* Has it ended?  1 the first time that it is seen. */
int amld_step_ended(amld_instance_t *i);

/* Of one that has ended; as amld_command_result(). */
int amld_step_result(const amld_instance_t *i);

/* Fills i->failure with what `result` means, and the end of the log; LATE: it
 * did not end in time. */
#define AMLD_STEP_LATE (-3)
void amld_step_fail(amld_instance_t *i, int result);

/* As the engine's stop. */
void amld_step_stop(amld_instance_t *i, int at_once);

#endif /* AMLD_STEP_H */
