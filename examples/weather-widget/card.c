/* card.c - first where everything stands (`arrange`), then what is drawn there, from back to front (`scene`).
 *
 * Sizes are given for 960 x 540 and scaled; letters have a smallest readable height, and what has no room is left out:
 * first the amounts, then the notes and the precipitation, then the axis.
 */
#include "card.h"

#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "png.h"

enum { MONTHS = 12 };

static const float regular = 0.115f, medium = 0.135f, bold = 0.155f;

static const char *const month_names[MONTHS] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

/* Degrees Celsius and the colour they have. Between them it is mixed. */
static const struct {
    float degrees;
    uint32_t rgb;
} scale[] = {
    {-12, 0x6A5CFF}, {-2, 0x4C86FF}, {6, 0x37BDE8}, {12, 0x3FD9B0}, {17, 0xB5E36B},
    {21, 0xFFD85A}, {26, 0xFF9F45}, {32, 0xFF5F4C}, {40, 0xF02D6B},
};

typedef struct {
    const card *what;
    float width, height, unit;
    float left, right;             /* of the two plots */
    float slot, bar;               /* the width of a month, and of what is drawn for it */
    float warm_top, warm_bottom;   /* temperature plot */
    float rain_top, rain_bottom;   /* precipitation plot; equal when there is no room for it */
    float names;                   /* baseline of the month names */
    float title_size, title_y, note_size, note_y, label;
    double coldest, warmest, wettest;
    int values, axis, notes;
    char title[160];
} layout;

static layout l;

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* 12.3 as text, with one decimal or none, and a real minus sign. */
static const char *amount(double value, int decimals, const char *unit, char *to, size_t cap) {
    double factor = decimals ? 10 : 1;
    int scaled = (int)(value * factor + (value < 0 ? -0.5 : 0.5)), whole = scaled < 0 ? -scaled : scaled;
    const char *sign = scaled < 0 ? "\xE2\x88\x92" : "";
    if (decimals) snprintf(to, cap, "%s%d.%d%s", sign, whole / 10, whole % 10, unit);
    else snprintf(to, cap, "%s%d%s", sign, whole, unit);
    return to;
}

static void write_title(void) {
    const summary *days = l.what->days;
    char count[16], years[16];
    if (!days->count) {
        snprintf(l.title, sizeof l.title, "%s", l.what->title);
        return;
    }
    if (days->count >= 1000) snprintf(count, sizeof count, "%d,%03d", days->count / 1000, days->count % 1000);
    else snprintf(count, sizeof count, "%d", days->count);
    if (days->first.year == days->last.year) snprintf(years, sizeof years, "%d", days->first.year);
    else snprintf(years, sizeof years, "%d\xE2\x80\x93%d", days->first.year, days->last.year);
    snprintf(l.title, sizeof l.title, "%s, %s \xC2\xB7 %s %s", l.what->title, years, count,
             days->count == 1 ? "day" : "days");
}

/* The largest size, at most `cap` and not below `least`, at which the text is no wider than `room`. */
static float fitting(const char *text, float cap, float least, float room) {
    float width = text_width(text, cap);
    float size = width > room ? cap * room / width : cap;
    return size < least ? least : size;
}

/* ---- where everything stands ------------------------------------------------------------------------------------- */

static float larger(float a, float b) { return a > b ? a : b; }

static double average(double sum, int days) { return days ? sum / days : 0; }

/* Millimetres that an average month of this name has, however many days of it are known. */
static double monthly_rain(int m) {
    const month *at = &l.what->days->months[m];
    double days = m == 1 ? 28.25 : month_length(2001, m + 1);
    return average(at->precipitation, at->days) * days;
}

static void arrange(const card *what, int width, int height) {
    float by_width = (float)width / 960, by_height = (float)height / 540, pad;
    memset(&l, 0, sizeof l);
    l.what = what;
    l.width = (float)width;
    l.height = (float)height;
    l.unit = by_width < by_height ? by_width : by_height;
    l.notes = height >= 270 && width >= 420;
    l.axis = width >= 300;
    l.values = height >= 330 && width >= 560;
    l.label = larger(8.4f * l.unit, 6.2f);
    pad = larger(40 * l.unit, 12);

    write_title();
    l.title_size = fitting(l.title, larger(20 * l.unit, 9), 5.5f, l.width - 2 * pad);
    l.title_y = pad + l.title_size - 4 * l.unit;
    l.note_size = larger(8.6f * l.unit, 6.4f);
    l.note_y = l.title_y + (l.notes ? l.note_size * 2.7f : 0);

    l.left = pad + (l.axis ? text_width("\xE2\x88\x92" "10\xC2\xB0", l.label) + 10 * l.unit : 0);
    l.right = l.width - pad;
    l.slot = (l.right - l.left) / MONTHS;
    l.bar = l.slot * 0.52f < 52 * l.unit ? l.slot * 0.52f : 52 * l.unit;
    l.names = l.height - pad + 4 * l.unit;
    l.rain_bottom = l.names - l.label - 10 * l.unit;
    l.rain_top = height >= 240 ? l.rain_bottom - 72 * by_height : l.rain_bottom;
    l.warm_top = l.note_y + larger(20 * l.unit, 8);
    l.warm_bottom = height >= 240 ? l.rain_top - larger(56 * l.unit, l.label * 3.6f) : l.rain_bottom;

    if (what->days->count) { /* room beyond the extremes, for their labels */
        double room = (what->days->high.value - what->days->low.value) * 0.04 + 1;
        room += l.values ? room * 1.2 : 0;
        l.coldest = what->days->low.value - room;
        l.warmest = what->days->high.value + room;
    } else {
        l.coldest = -5;
        l.warmest = 35;
    }
    l.wettest = 1;
    for (int m = 0; m < MONTHS; m++)
        if (monthly_rain(m) > l.wettest) l.wettest = monthly_rain(m);
}

static float height_of(double degrees) {
    return l.warm_bottom - (float)((degrees - l.coldest) / (l.warmest - l.coldest)) * (l.warm_bottom - l.warm_top);
}

static double degrees_at(float y) {
    return l.coldest + (double)((l.warm_bottom - y) / (l.warm_bottom - l.warm_top)) * (l.warmest - l.coldest);
}

static float middle_of(int m) { return l.left + ((float)m + 0.5f) * l.slot; }

/* ---- colours ----------------------------------------------------------------------------------------------------- */

static ink warmth(double degrees, float alpha) {
    int last = (int)(sizeof scale / sizeof *scale) - 1, i = 0;
    float t;
    while (i < last - 1 && degrees > (double)scale[i + 1].degrees) i++;
    t = ((float)degrees - scale[i].degrees) / (scale[i + 1].degrees - scale[i].degrees);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return ink_mix(ink_of(scale[i].rgb, alpha), ink_of(scale[i + 1].rgb, alpha), t);
}

static ink warmth_at(float y) { return warmth(degrees_at(y), 1); }

static ink night_at(float y) { return ink_mix(ink_of(0x172036, 1), ink_of(0x0D1322, 1), y / l.height); }

static ink water_at(float y) {
    return ink_mix(ink_of(0x6FB7FF, 1), ink_of(0x2F6FD6, 1), (y - l.rain_top) / (l.rain_bottom - l.rain_top));
}

static ink bright(void) { return ink_of(0xF4F7FC, 1); }
static ink quiet(void) { return ink_of(0x9AA7BF, 1); }
static ink faint(float alpha) { return ink_of(0xC9D6F0, alpha); }

/* ---- what is drawn ----------------------------------------------------------------------------------------------- */

/* The forecast stands in a pill at the right of the title; where that has no room, it takes the place of the note. */
static void heading(void) {
    const char *note = "From the mean daily low to the mean daily high of each month, \xC2\xB0"
                       "C. Thin lines reach the extremes.";
    const char *forecast = l.what->forecast;
    float pad = l.width - l.right, size = larger(9.2f * l.unit, 6.4f);
    float middle = l.title_y - l.title_size / 2, half = size * 1.45f;
    float pill = forecast ? l.right - text_width(forecast, size) - size * 4.3f : 0;
    int fits = forecast && pill > pad + text_width(l.title, l.title_size) + 2 * size;
    draw_text(pad, l.title_y, l.title_size, bold, LEFT, bright(), l.title);
    if (fits) {
        draw_box(pill, middle - half, l.right, middle + half, half, plain(faint(0.10f)));
        draw_disc(pill + size * 1.6f, middle, size * 0.42f, ink_of(0xFFD85A, 1));
        draw_text(l.right - size * 1.5f, middle + size / 2, size, medium, RIGHT, bright(), forecast);
    } else if (forecast) {
        note = forecast;
    }
    if (l.notes) {
        size = fitting(note, l.note_size, 5, l.right - pad);
        draw_text(pad, l.note_y, size, regular, LEFT, note == forecast ? bright() : quiet(), note);
    }
}

static void grid(void) {
    static const int steps[] = {5, 10, 20, 50};
    float degree = (l.warm_bottom - l.warm_top) / (float)(l.warmest - l.coldest);
    int step = steps[0];
    char text[16];
    if (!l.axis) return;
    for (int i = 1; i < 4 && degree * (float)step < 5 * l.label; i++) step = steps[i];
    for (int degrees = ((int)l.coldest / step - 1) * step; degrees <= l.warmest; degrees += step) {
        float y = (float)(int)height_of(degrees), line = larger(1.2f * l.unit, 1);
        if (degrees < l.coldest) continue;
        draw_box(l.left, y, l.right, y + line, 0, plain(faint(degrees == 0 ? 0.30f : 0.10f)));
        amount(degrees, 0, "\xC2\xB0", text, sizeof text);
        draw_text(l.left - 10 * l.unit, y + l.label / 2, l.label, regular, RIGHT, quiet(), text);
    }
}

/* A label in the plot: the lines behind it make way. */
static void label(float x, float baseline, float size, float weight, ink colour, const char *text) {
    float half = text_width(text, size) / 2 + 3 * l.unit, edge = 2.5f * l.unit;
    paint night = {{0, 0, 0, 0}, night_at};
    draw_box(x - half, baseline - size - edge, x + half, baseline + edge, 0, night);
    draw_text(x, baseline, size, weight, MIDDLE, colour, text);
}

/* One end of a month's band: its mean where there is room for it, a thin line on to the extreme, and a dot there. */
static void whisker(float x, double mean, double extreme, float way) {
    float start = height_of(mean), end = height_of(extreme), gap = l.label + 12 * l.unit;
    char text[16];
    if (l.values && (end - start) * way >= gap) {
        float baseline = way < 0 ? start - 6 * l.unit : start + 7 * l.unit + l.label;
        amount(mean, 0, "\xC2\xB0", text, sizeof text);
        label(x, baseline, l.label, medium, ink_mix(warmth(mean, 1), bright(), 0.35f), text);
        start += way * gap;
    }
    draw_line(x, start, x, end, larger(1.6f * l.unit, 1), warmth(extreme, 0.65f));
    draw_disc(x, end, larger(2.4f * l.unit, 1.2f), warmth(extreme, 1));
}

static void months(void) {
    float half = l.bar / 2;
    for (int m = 0; m < MONTHS; m++) {
        const month *at = &l.what->days->months[m];
        float x = middle_of(m);
        char initial[2] = {month_names[m][0], 0};
        int room = text_width("May", l.label) < l.slot * 0.9f;
        draw_text(x, l.names, l.label, medium, MIDDLE, quiet(), room ? month_names[m] : initial);
        if (at->days) {
            double high = average(at->sum_max, at->days), low = average(at->sum_min, at->days);
            float top = height_of(high), bottom = height_of(low), round = half * 0.45f;
            paint fill = {{0, 0, 0, 0}, warmth_at};
            if (bottom - top < 2 * round) round = (bottom - top) / 2;
            whisker(x, high, at->highest, -1);
            whisker(x, low, at->lowest, 1);
            draw_box(x - half, top, x + half, bottom, round > 0.6f ? round : 0, fill);
        }
    }
}

static void rain(void) {
    float half = l.bar / 2;
    const char *note = "Precipitation of an average month, mm";
    float line = larger(1.2f * l.unit, 1), bottom = (float)(int)l.rain_bottom;
    char text[16];
    if (l.rain_top >= l.rain_bottom) return;
    if (l.notes)
        draw_text(middle_of(0) - half, l.rain_top - 27 * l.unit, l.note_size * 0.95f, regular, LEFT, quiet(), note);
    for (int m = 0; m < MONTHS; m++) {
        float x = middle_of(m), round = 3 * l.unit;
        float top = bottom - (float)(monthly_rain(m) / l.wettest) * (bottom - l.rain_top);
        paint fill = {{0, 0, 0, 0}, water_at};
        if (!l.what->days->months[m].days) continue;
        if (bottom - top < round * 2) round = (bottom - top) / 2;
        draw_box(x - half, top, x + half, bottom, round > 0.6f ? round : 0, fill);
        draw_box(x - half, bottom - round, x + half, bottom, 0, fill); /* only the upper corners are round */
        amount(monthly_rain(m), 0, "", text, sizeof text);
        if (l.values) draw_text(x, top - 6 * l.unit, l.label, medium, MIDDLE, ink_of(0xA9CBF7, 1), text);
    }
    draw_box(l.left, bottom, l.right, bottom + line, 0, plain(faint(0.22f)));
}

/* A ring around the warmest or the coldest moment of all, and when it was. */
static void record(const extreme *at, float way) {
    float x = middle_of(at->date.month - 1), y = height_of(at->value), half;
    float radius = larger(6 * l.unit, 3), size = l.label * 1.06f;
    char value[16], text[48];
    for (int ring = 0; ring < 2; ring++) draw_disc(x, y, radius * (ring ? 0.68f : 1), ring ? night_at(y) : bright());
    draw_disc(x, y, radius * 0.42f, warmth(at->value, 1));
    if (!l.values) return;
    amount(at->value, 1, "\xC2\xB0", value, sizeof value);
    snprintf(text, sizeof text, "%s on %d %s %d", value, at->date.day, month_names[at->date.month - 1], at->date.year);
    half = text_width(text, size) / 2;
    x = x - half < l.left ? l.left + half : x + half > l.right ? l.right - half : x;
    y = way < 0 ? y - radius - 5 * l.unit : y + radius + 6 * l.unit + size;
    label(x, y, size, bold, bright(), text);
}

static void scene(void) {
    paint night = {{0, 0, 0, 0}, night_at};
    draw_box(0, 0, l.width, l.height, 0, night);
    heading();
    grid();
    if (!l.what->days->count) {
        draw_text(l.width / 2, (l.warm_top + l.warm_bottom) / 2, l.label * 1.4f, medium, MIDDLE, quiet(),
                  "No day was observed yet");
        return;
    }
    rain();
    months();
    record(&l.what->days->high, -1);
    record(&l.what->days->low, 1);
}

uint32_t card_png(const card *what, int width, int height, uint8_t *out, uint32_t cap) {
    arrange(what, width, height);
    png_begin(out, cap, (uint32_t)width, (uint32_t)height);
    for (int top = 0; top < height; top += DRAW_ROWS) {
        int rows = height - top < DRAW_ROWS ? height - top : DRAW_ROWS;
        draw_band(width, top, rows);
        scene();
        for (int row = 0; row < rows; row++) png_row(draw_row(row));
    }
    return png_end();
}
