/*
 * Files that are part of the program: the pages' style sheet and script.
 */

#ifndef AMLD_ASSETS_H
#define AMLD_ASSETS_H

#include "auth/str.h"

aml_str_t amld_asset_style(void);  /* auth/style.css */
aml_str_t amld_asset_studio(void); /* auth/studio.js */
aml_str_t amld_asset_start(void);  /* auth/start.js */

#endif /* AMLD_ASSETS_H */
