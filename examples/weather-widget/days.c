/* days.c - sums, not lists: a day costs one bit (was it seen?) however many years are told. */
#include "days.h"

enum { FIRST_YEAR = 1900, LAST_YEAR = 2099 };

static summary all;
static uint8_t seen[((LAST_YEAR - FIRST_YEAR + 1) * 372 + 7) / 8]; /* 12 months of 31 days, whether they exist or not */

static int digits(const char *text, int n) {
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + text[i] - '0';
    }
    return value;
}

int month_length(int year, int month) {
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 ? 28 + leap : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

bool date_read(const char *text, uint32_t len, date *to) {
    if (len != 10 || (text[4] != '-' && text[4] != '/') || text[7] != text[4]) return false;
    to->year = digits(text, 4);
    to->month = digits(text + 5, 2);
    to->day = digits(text + 8, 2);
    return to->year >= FIRST_YEAR && to->year <= LAST_YEAR && to->month >= 1 && to->month <= 12 && to->day >= 1 &&
           to->day <= month_length(to->year, to->month);
}

static int order(date d) { return ((d.year - FIRST_YEAR) * 12 + d.month - 1) * 31 + d.day - 1; }

/* Comparisons with NaN are false, so NaN is refused as well. */
static bool plausible(const observation *day) {
    return day->temp_min >= -100 && day->temp_min <= day->temp_max && day->temp_max <= 70 && day->precipitation >= 0 &&
           day->precipitation <= 2000;
}

int days_add(const observation *day) {
    int place = order(day->date), found = DAY_NEW;
    month *m = &all.months[day->date.month - 1];
    bool first = all.count == 0, known = seen[place / 8] >> place % 8 & 1;
    if (!plausible(day)) return DAY_REFUSED;
    if (known) return DAY_KNOWN;
    seen[place / 8] |= (uint8_t)(1 << place % 8);

    if (first || day->temp_max > all.high.value) {
        extreme high = {day->date, day->temp_max};
        all.high = high;
        if (all.count >= DAYS_BEFORE_RECORDS) found |= DAY_RECORD_HIGH;
    }
    if (first || day->temp_min < all.low.value) {
        extreme low = {day->date, day->temp_min};
        all.low = low;
        if (all.count >= DAYS_BEFORE_RECORDS) found |= DAY_RECORD_LOW;
    }
    if (first || place < order(all.first)) all.first = day->date;
    if (first || place > order(all.last)) all.last = day->date;
    all.count++;

    if (!m->days || day->temp_max > m->highest) m->highest = day->temp_max;
    if (!m->days || day->temp_min < m->lowest) m->lowest = day->temp_min;
    m->days++;
    m->wet_days += day->precipitation > 0;
    m->sum_max += day->temp_max;
    m->sum_min += day->temp_min;
    m->precipitation += day->precipitation;
    return found;
}

const summary *days_summary(void) { return &all; }
