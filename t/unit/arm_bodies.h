/*
 * Bodies of PUTs, and where things are in the answers.
 */

#ifndef AML_TEST_ARM_BODIES_H
#define AML_TEST_ARM_BODIES_H

#include "t/unit/arm_fixture.h"

#define P "properties/properties/"
#define LAB W "/computes/lab" V

/* Of the inner properties; around them what every client sends. */
#define INSIDE(text)                                                           \
    "{\"properties\":{\"computeType\":\"ComputeInstance\",\"properties\":"     \
    "{" text "}}}"
#define BESIDE(text)                                                           \
    "{\"properties\":{\"computeType\":\"ComputeInstance\"" text "}}"
#define FOR(id)                                                                \
    "\"personalComputeInstanceSettings\":{\"assignedUser\":{\"objectId\":"     \
    "\"" id "\"}}"
#define DAILY(more)                                                            \
    "{\"triggerType\":\"Cron\",\"action\":\"Stop\",\"cron\":{\"expression\":"  \
    "\"0 18 * * *\"}" more "}"
#define SCHEDULES(list) "\"schedules\":{\"computeStartStop\":[" list "]}"
#define SCRIPT(name, text)                                                     \
    "\"setupScripts\":{\"scripts\":{\"" name "\":{" text "}}}"
#define ECHO "\"scriptSource\":\"inline\",\"scriptData\":\"ZWNobw==\""

#endif /* AML_TEST_ARM_BODIES_H */
