/* days.h - everything the widget remembers of the days it was told about. */
#ifndef DAYS_H
#define DAYS_H

#include <stdbool.h>
#include <stdint.h>

enum { DATE_TEXT = 11, DAYS_BEFORE_RECORDS = 365 };

typedef struct {
    int year, month, day;
} date;

/* One observed day: millimetres and degrees Celsius. */
typedef struct {
    date date;
    double precipitation, temp_max, temp_min;
} observation;

/* One calendar month over all years. */
typedef struct {
    int days, wet_days; /* wet: any precipitation at all */
    double sum_max, sum_min, highest, lowest, precipitation;
} month;

typedef struct {
    date date;
    double value;
} extreme;

typedef struct {
    int count; /* days, all months together */
    date first, last;
    month months[12];
    extreme high, low;
} summary;

/* What an observation was. New extremes count as records only after the first DAYS_BEFORE_RECORDS days. */
typedef enum { DAY_REFUSED = -1, DAY_KNOWN = 0, DAY_NEW = 1, DAY_RECORD_HIGH = 2, DAY_RECORD_LOW = 4 } verdict;

/* Reads YYYY-MM-DD or YYYY/MM/DD, 1900 to 2099; false when it is no day of the calendar. */
bool date_read(const char *text, uint32_t len, date *to);
int month_length(int year, int month);

/* Adds a day: a sum of DAY_NEW and its records. A day that is known already changes nothing (a message may come twice),
 * and neither does one whose numbers cannot be weather (DAY_REFUSED). */
int days_add(const observation *day);
const summary *days_summary(void);

#endif
