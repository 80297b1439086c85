/*
 * A tunnel to a port of an instance: a websocket by TLS, through whatever
 * proxy the environment names.
 */

#ifndef CLI_TUNNEL_H
#define CLI_TUNNEL_H

#include "cli/cli.h"
#include "cli/ws_client.h"

#define CLI_TUNNEL_PATH "/nbip/v1.0/ws-tcp"

typedef struct {
    CURL *curl; /* connected */
    curl_socket_t socket;
    uint8_t early[16384]; /* what came behind the answer's head */
    size_t early_n;
} cli_tunnel_t;

/* Connects and is let in; 0, or an exit status after the reason was said. */
int cli_tunnel_open(cli_t *cli, const char *name, unsigned port,
                    cli_tunnel_t *tunnel);
void cli_tunnel_close(cli_tunnel_t *tunnel);

/*
 * Relays between it and two descriptors, until either end is over.  Memory is
 * bounded: a direction reads when what it has read before is gone.  An exit
 * status; what is not a clean end has been said.
 */
int cli_tunnel_relay(cli_tunnel_t *tunnel, int in, int out);

#endif /* CLI_TUNNEL_H */
