/*
 * Public keys that ssh-keygen made; nobody has what belongs to them.
 */

#ifndef AML_TEST_SSH_KEYS_H
#define AML_TEST_SSH_KEYS_H

#define ED25519_BLOB                                                           \
    "AAAAC3NzaC1lZDI1NTE5AAAAIAI/S2ksCCarPPrc9nxsIUVdj07grI5z5sKl"             \
    "G8dhj/1B"
#define P256_BLOB                                                              \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMb+5f1m"             \
    "pTjv/soreTRUX7iZTZDTV7pQOcxer1sP+i5V+hUWkJs/LKVUxiiEgtVXE0D7"             \
    "D6HaH0OiluNbYWD4SJs="
#define P384_BLOB                                                              \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBFnxb/u/"             \
    "D8ODnAR/q2Lqkwd4HU4LW0AEAO71v2RRacoSiae5bdj+mbM+3QA8EspYKKCD"             \
    "8bCsJOtOsJCGBf4OqX6Cv96zEq5rPUlkW1O3IFKSpi7lTbWxKK4vBcv/ijRA"             \
    "Tw=="
#define P521_BLOB                                                              \
    "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAA+n3HN"             \
    "CVOTYoP/CUHSUEr/p50tGh1bapqrDIKZXQ87MKB8ZfqzOpvtpOA91fhkxBYO"             \
    "w5gDm5QeW7IbP8iMYtqvcgEBusgoM+2/4vgebiZZCICeFzypN0ws34avKL1V"             \
    "Q7mIpRQMXowR17Q5E62yKEgNOoAs8vDVBnWz0w3NLeI/wLkpFQ=="
#define RSA_BLOB                                                               \
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDIWmvkX7cM9whtr2hXKLGfyxPrrt66"             \
    "oHAgnmnwNtRqj2+UyFAmU4gBqv5zS60R7+4vut++igRkwqtSzpMWhx5Ne5Ya"             \
    "exsmNZmqoQnhDx70lJp7zP6SBZ89XEI7wMnn6r9Pajajpo8n3+XE+Q4tMi9b"             \
    "RRtlGsBwYKhRib0pnuFx1GvOPDcaIGsVdaVq+fmQVJLKaYsY/uGVLhD3BtQH"             \
    "XoEI14hFmE/ybl2WmUaJc/ZSzmK50wc/nlO1PhX1WLypwgchnGamzqA3qiQl"             \
    "/9GjzsyZ08yNAGG7nAnvsf9Olw52Wh6ZNFcfOCVM7r9S6MZzf9TGxt6AOJ3p"             \
    "Pa9Kk0RHvWPr"
#define SHORT_RSA_BLOB                                                         \
    "AAAAB3NzaC1yc2EAAAADAQABAAAAgQCtjKiADGsfiKLq/x0O20K80ioL7pvR"             \
    "y9ACwXkQtnJhPBTpHNDrM+Nw+C08tPWODHiqWokL79cTp7OSf6Xy7P5l2bhG"             \
    "9XcgdpCuF4WSzz0C+o9utvvkm38D5emcqjfm4ZROLp2MiP2iai7/JBOIj06c"             \
    "q/5w75qpFvGUE9y4hVzLTQ=="

#define ED25519 "ssh-ed25519 " ED25519_BLOB
#define P256 "ecdsa-sha2-nistp256 " P256_BLOB
#define P384 "ecdsa-sha2-nistp384 " P384_BLOB
#define P521 "ecdsa-sha2-nistp521 " P521_BLOB
#define RSA "ssh-rsa " RSA_BLOB
#define SHORT_RSA "ssh-rsa " SHORT_RSA_BLOB

#endif /* AML_TEST_SSH_KEYS_H */
