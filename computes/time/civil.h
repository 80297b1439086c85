/*
 * Days and dates of the Gregorian calendar, for every year that is asked.
 * Days are counted from 1970-01-01; months and days of months from 1; Sunday
 * is 0.
 */

#ifndef AMLD_CIVIL_H
#define AMLD_CIVIL_H

#include <stdint.h>

typedef struct {
    int64_t year;
    int month;
    int day;
} amld_civil_t;

int64_t amld_civil_floor(int64_t n, int64_t by); /* division, downwards */
int64_t amld_civil_days(int64_t year, int month, int day);
void amld_civil_of(int64_t days, amld_civil_t *c);
int amld_civil_weekday(int64_t days);
int amld_civil_leap(int64_t year);
int amld_civil_month_days(int64_t year, int month);

#endif /* AMLD_CIVIL_H */
