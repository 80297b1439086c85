#include "computes/time/civil.h"


int64_t
amld_civil_floor(int64_t n, int64_t by)
{
    return n / by - (n % by < 0);
}


/* Years begin in March here, so that a leap day is the last one. */
int64_t
amld_civil_days(int64_t year, int month, int day)
{
    int64_t era, of_era, of_year;

    year -= month <= 2;
    era = amld_civil_floor(year, 400);
    of_era = year - era * 400;
    of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}


void
amld_civil_of(int64_t days, amld_civil_t *c)
{
    int64_t era, of_era, year, of_year, month;

    days += 719468;
    era = amld_civil_floor(days, 146097);
    of_era = days - era * 146097;
    year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year + year / 4 - year / 100);
    month = (5 * of_year + 2) / 153;

    c->day = (int) (of_year - (153 * month + 2) / 5 + 1);
    c->month = (int) (month + (month < 10 ? 3 : -9));
    c->year = year + era * 400 + (c->month <= 2);
}


int
amld_civil_weekday(int64_t days)
{
    return (int) ((days % 7 + 11) % 7);
}


int
amld_civil_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}


int
amld_civil_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && amld_civil_leap(year));
}
