/*
 * The text of a configuration file, ready for libconfuse.
 */

#ifndef AMLD_CONFIG_TEXT_H
#define AMLD_CONFIG_TEXT_H

/*
 * Reads `file`; comments are blank and every line is where it was.  libconfuse
 * 3.3 counts the line of a comment three times, so that what it says of lines
 * is wrong for every file that has one.
 *
 * NULL and errno: EFBIG over 1 MiB, EILSEQ for a NUL.  The caller frees.
 */
char *amld_config_text(const char *file);

/* Blanks the comments of `text` in place. */
void amld_config_blank(char *text);

#endif /* AMLD_CONFIG_TEXT_H */
