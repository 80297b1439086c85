/*
 * Members of a job's properties that are fixed once it is submitted: each is
 * checked, and comes out in the one form in which documents have it.
 */

#ifndef AMLD_ARM_JOB_MEMBERS_H
#define AMLD_ARM_JOB_MEMBERS_H

#include "computes/api/arm_job.h"

/* `value` is neither null nor missing.  0, or -1 and a fault. */
typedef struct {
    const char *name;
    int (*read)(amld_job_put_t *put, const json_t *value,
                amld_arm_fault_t *fault);
} amld_job_member_t;

extern const amld_job_member_t amld_job_members[]; /* ended by NULL */

/* Of an object; NULL also where it is null. */
json_t *amld_job_member(const json_t *object, const char *name);

/* A new object without the members that are null; NULL when `value` is no
 * object of strings, or without memory. */
json_t *amld_job_strings(const json_t *value);

/* 1 when it is a string of so many bytes. */
int amld_job_is_text(const json_t *value, size_t least, size_t most);

int amld_job_no_memory(amld_arm_fault_t *fault); /* -1 */

#endif /* AMLD_ARM_JOB_MEMBERS_H */
