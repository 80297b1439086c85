/*
 * What is asked of custom services, in ARM's shape: checked, and brought into
 * the one form in which it is kept (service.h).
 */

#ifndef AMLD_SERVICE_READ_H
#define AMLD_SERVICE_READ_H

#include "computes/api/arm.h"
#include "computes/services/service.h"

#define AMLD_SERVICES_TARGET "properties.properties.customServices"

#define AMLD_SERVICE_COMMAND 8192  /* bytes */
#define AMLD_SERVICE_REFERENCE 512 /* of an image */
#define AMLD_SERVICE_VARIABLE 8192 /* bytes of a value */

/*
 * 0, or -1 and a fault.  *out is a reference of the caller's in either case, or
 * NULL.  A service with neither command nor image is left as it is: its only
 * member is then `name`; see amld_services_merge().
 *
 * What clients of Azure send beside it and means nothing here is let pass:
 * `type`, `docker`, `hostIp`; volumes and kernels are refused.
 */
int amld_services_read(const json_t *value, const char *target, json_t **out,
                       amld_arm_fault_t *fault);

/* Those that are only named are taken from `old` (may be NULL).  A new
 * reference, or NULL and a fault. */
json_t *amld_services_merge(const json_t *list, const json_t *old,
                            const char *target, amld_arm_fault_t *fault);

/* Does it fit what the engine can do?  0, or -1 and a fault. */
int amld_services_fit(const amld_config_t *c, const json_t *list,
                      const char *target, amld_arm_fault_t *fault);

#endif /* AMLD_SERVICE_READ_H */
