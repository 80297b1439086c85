/*
 * The files are taken in by the assembler, so that they can be edited and
 * checked as what they are.  Each has a NUL behind it.
 */

#include "auth/assets.h"

#include <stdint.h>

#define ASSET(name, file)                                                      \
    __asm__(".pushsection .rodata\n"                                           \
            ".global amld_asset_" #name "_text\n"                              \
            "amld_asset_" #name "_text:\n"                                     \
            ".incbin \"" file "\"\n"                                           \
            "amld_asset_" #name "_end:\n"                                      \
            ".byte 0\n"                                                        \
            ".balign 8\n"                                                      \
            ".global amld_asset_" #name "_size\n"                              \
            "amld_asset_" #name "_size:\n"                                     \
            ".quad amld_asset_" #name "_end - amld_asset_" #name "_text\n"     \
            ".popsection\n");                                                  \
    extern const char amld_asset_##name##_text[];                              \
    extern const uint64_t amld_asset_##name##_size

ASSET(style, "auth/style.css");
ASSET(studio, "auth/studio.js");
ASSET(start, "auth/start.js");


aml_str_t
amld_asset_style(void)
{
    return (aml_str_t){amld_asset_style_text, (size_t) amld_asset_style_size};
}


aml_str_t
amld_asset_studio(void)
{
    return (aml_str_t){amld_asset_studio_text, (size_t) amld_asset_studio_size};
}


aml_str_t
amld_asset_start(void)
{
    return (aml_str_t){amld_asset_start_text, (size_t) amld_asset_start_size};
}
