/*
 * Where applications on demand are asked for.
 *
 *   instance  GET   /.aml/start      how it goes with the application of this
 *                                    host: a page that waits, or JSON
 *             POST  /.aml/start      asks for it
 *             GET   /.aml/start.js   the page's script
 *   studio    POST  /auth/open       asks for it, and leads to it
 *
 * For the instance's creator only.  A link may lead anybody's browser to the
 * page: the page asks by itself only where nobody else's page has led there,
 * and shows a button otherwise.
 */

#ifndef AMLD_ON_DEMAND_API_H
#define AMLD_ON_DEMAND_API_H

#include "computes/http/http.h"

extern const amld_http_route_t amld_on_demand_routes[];

#endif /* AMLD_ON_DEMAND_API_H */
