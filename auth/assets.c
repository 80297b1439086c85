/*
 * The files are taken in by the assembler, so that they can be edited and
 * checked as what they are.
 */

#include "auth/assets.h"

#define ASSET(name, file)                                                      \
    __asm__(".pushsection .rodata\n"                                           \
            ".global amld_asset_" #name "_begin\n"                             \
            "amld_asset_" #name "_begin:\n"                                    \
            ".incbin \"" file "\"\n"                                           \
            ".global amld_asset_" #name "_end\n"                               \
            "amld_asset_" #name "_end:\n"                                      \
            ".byte 0\n"                                                        \
            ".popsection\n");                                                  \
    extern const char amld_asset_##name##_begin[];                             \
    extern const char amld_asset_##name##_end[]

ASSET(style, "auth/style.css");
ASSET(studio, "auth/studio.js");


aml_str_t
amld_asset_style(void)
{
    return (aml_str_t){
        amld_asset_style_begin,
        (size_t) (amld_asset_style_end - amld_asset_style_begin)};
}


aml_str_t
amld_asset_studio(void)
{
    return (aml_str_t){
        amld_asset_studio_begin,
        (size_t) (amld_asset_studio_end - amld_asset_studio_begin)};
}
