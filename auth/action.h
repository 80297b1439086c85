/*
 * What a request to the control API asks for: Azure-style action and scope
 * from method and path.
 *
 * GET and HEAD read, PUT and PATCH write, DELETE delete, POST …/op is
 * …/op/action.  The path is ARM's: scope segments, then
 * "/providers/Namespace/type/name/type/name…".  The action is
 * "Namespace/type/type/verb"; the scope is the path up to the last name, the
 * resource itself, without the operation; for a collection, its parent.
 *
 *   GET  W/computes/lab1        Microsoft.MachineLearningServices/
 *                               workspaces/computes/read        at …/lab1
 *   GET  W/computes             …/workspaces/computes/read      at W
 *   POST W/computes/lab1/start  …/workspaces/computes/start/action  at …/lab1
 *   GET  /subscriptions/{s}/providers/N/locations/{l}/usages
 *                               N/locations/usages/read   at /subscriptions/s
 */

#ifndef AML_ACTION_H
#define AML_ACTION_H

#include "auth/str.h"

#define AML_ACTION_MAX 256

typedef struct {
    aml_str_t scope; /* points into the path */
    size_t action_len;
    char action[AML_ACTION_MAX]; /* not ended; case as in the path */
} aml_action_t;

/*
 * `path` is decoded and normalised, without the query.  0, or -1 when method
 * and path name no action: another method, no provider, empty segments, a
 * trailing slash, a segment with a character outside A-Z a-z 0-9 - . _ ( ),
 * longer than the limits.
 */
int aml_action_of(aml_str_t method, aml_str_t path, aml_action_t *a);

#endif /* AML_ACTION_H */
