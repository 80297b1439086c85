/*
 * Members of a compute's inner properties that have an inside of their own:
 * SSH, idle time, schedules, set-up scripts.  Each is checked, and comes out in
 * the one form in which it is kept and answered.
 *
 *   sshSettings   {sshPublicAccess?: "Enabled" or "Disabled", adminPublicKey?}
 *   idle time     "PT<minutes>M"
 *   schedules     {computeStartStop: [{id, triggerType: "Cron",
 *                   cron {startTime?, timeZone, expression},
 *                   action: "Start" or "Stop",
 *                   status: "Enabled" or "Disabled"}]}
 *   setupScripts  {scripts {creationScript?, startupScript?}}, each
 *                   {scriptSource: "inline", scriptData (base64), or
 *                    "workspaceStorage", scriptData (path below the share);
 *                    scriptArguments?, timeout?: "PT<n>M" or "PT<n>S"}
 *
 * Members that are null or not there count as not asked for; what is not known
 * is not looked at.
 */

#ifndef AMLD_ARM_SETTINGS_H
#define AMLD_ARM_SETTINGS_H

#include "computes/api/arm.h"

#define AMLD_IDLE_LEAST (15 * 60)   /* seconds */
#define AMLD_IDLE_MOST (3 * 86400)  /* seconds */
#define AMLD_SCHEDULES_MAX 32       /* of an instance */
#define AMLD_SCRIPT_MAX (64 * 1024) /* bytes of a script, decoded */
#define AMLD_SCRIPT_ARGUMENTS 1024  /* bytes */
#define AMLD_SCRIPT_TIMEOUT 86400   /* seconds, the most */

/*
 * 0, or -1 and a fault, whose target is `target`.  *out is NULL before, and a
 * reference of the caller's afterwards, also after -1.  `value` is neither null
 * nor missing.
 */
int amld_arm_ssh_read(const json_t *value, const char *target, json_t **out,
                      amld_arm_fault_t *fault);
int amld_arm_idle_read(const json_t *value, const char *target, json_t **out,
                       amld_arm_fault_t *fault);
int amld_arm_schedules_read(const json_t *value, const char *target,
                            json_t **out, amld_arm_fault_t *fault);
int amld_arm_scripts_read(const json_t *value, const char *target, json_t **out,
                          amld_arm_fault_t *fault);

/* Schedules for which no id was asked get one: that of a schedule of `old`
 * (may be NULL) with the same trigger and action, else a new one.  0, or -1
 * without memory. */
int amld_arm_schedules_name(json_t *schedules, const json_t *old);

#endif /* AMLD_ARM_SETTINGS_H */
