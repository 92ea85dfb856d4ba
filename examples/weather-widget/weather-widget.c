/* weather-widget.c - the exports: a year of weather, told day by day, drawn as a card.
 *
 * What the host calls is here, one function for each export of manifest.ron. The rest is behind four small doors:
 * days.h (what is remembered), card.h (the picture), json.h (settings and forecasts), and desk.h (the host).
 */
#include <desk.h>
#include <stdio.h>
#include <string.h>

#include "card.h"
#include "days.h"
#include "json.h"

enum { PNG_CAP = 512 * 1024, TEXT_CAP = 4096, HTTP_CAP = 16 * 1024, URL_CAP = 256, FORECAST_CAP = 128 };

static char city[JSON_TEXT] = "Seattle", title[JSON_TEXT]; /* an empty title: the city's name is the title */
static char forecast_line[FORECAST_CAP];                    /* empty: none is known */
static uint8_t png[PNG_CAP];

/* ---- render, card ------------------------------------------------------------------------------------------------ */

/* Draws into `png`; 0 after it has failed the call. */
static uint32_t draw(int32_t width, int32_t height) {
    card what = {title[0] ? title : city, forecast_line[0] ? forecast_line : NULL, days_summary()};
    uint32_t size;
    if (width < CARD_MIN_WIDTH || width > CARD_MAX_WIDTH || height < CARD_MIN_HEIGHT || height > CARD_MAX_HEIGHT) {
        desk_fail_text(DESK_INVALID, "a card is 200 to 2000 pixels wide and 120 to 1500 high");
        return 0;
    }
    size = card_png(&what, width, height, png, sizeof png);
    if (!size) desk_fail_text(DESK_TOO_LARGE, "the picture is larger than 512 KiB");
    return size;
}

DESK_EXPORT("render") int32_t widget_render(int32_t width, int32_t height) { return (int32_t)draw(width, height); }

DESK_EXPORT("card") void widget_card(int32_t width, int32_t height) {
    uint32_t size = draw(width, height);
    if (size) desk_reply(png, size);
}

/* ---- update ------------------------------------------------------------------------------------------------------ */

/* A text people can read: not empty, no control characters, and UTF-8 (a server may send anything). */
static bool printable(const char *text) {
    desk_text whole = {text, desk_strlen(text)};
    for (uint32_t i = 0; i < whole.len; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7F) return false;
    return whole.len > 0 && desk_text_valid(whole);
}

/* All or nothing: the settings change only when the whole object makes sense. */
static bool settings(const char *text, uint32_t len) {
    char new_city[JSON_TEXT], new_title[JSON_TEXT];
    json_object object = json_read(text, len);
    json_member member;
    memcpy(new_city, city, sizeof city);
    memcpy(new_title, title, sizeof title);
    while (json_next(&object, &member)) {
        char *to = !strcmp(member.key, "city") ? new_city : !strcmp(member.key, "title") ? new_title : NULL;
        if (!to || member.kind != JSON_STRING || !printable(member.text)) return false;
        memcpy(to, member.text, JSON_TEXT);
    }
    if (!object.done) return false;
    memcpy(city, new_city, sizeof city);
    memcpy(title, new_title, sizeof title);
    return true;
}

DESK_EXPORT("update") int32_t widget_update(uint32_t handle, uint32_t len) {
    char text[TEXT_CAP];
    int32_t got = desk_read_all(handle, len, text, sizeof text);
    if (got < 0 || !settings(text, (uint32_t)got)) return false;
    printf("settings: city \"%s\", title \"%s\"\n", city, title[0] ? title : city); /* WASI: becomes a line of the log */
    fflush(stdout);
    return true;
}

/* ---- on_observed ------------------------------------------------------------------------------------------------- */

static void publish_record(const char *kind, date day, double value) {
    static const char subject[] = "weather.record";
    uint8_t buf[96];
    char text[16];
    desk_writer w = desk_writer_to(buf, sizeof buf);
    int32_t receivers;
    snprintf(text, sizeof text, "%04d-%02d-%02d", day.year, day.month, day.day);
    desk_put_map(&w, 3);
    desk_put_text(&w, "date");
    desk_put_text(&w, text);
    desk_put_text(&w, "kind");
    desk_put_text(&w, kind);
    desk_put_text(&w, "value");
    desk_put_float(&w, value);
    receivers = desk_publish(subject, desk_strlen(subject), w.buf, w.len);
    if (receivers < 0) desk_log_text(DESK_WARN, "a new record could not be published");
}

/* One day. The wind and the kind of weather are not on the card, so they are not read. */
DESK_EXPORT("on_observed") void widget_on_observed(uint32_t handle, uint32_t len) {
    uint8_t buf[TEXT_CAP];
    observation day;
    desk_reader map, at;
    desk_text date;
    int found;
    int32_t got = desk_read_all(handle, len, buf, sizeof buf);
    if (got < 0) {
        desk_fail_text(-got, "the observation could not be read");
        return;
    }
    map = desk_reader_of(buf, (uint32_t)got);
    if (!desk_find(map, "date", &at) || !desk_get_text(&at, &date) || !date_read(date.ptr, date.len, &day.date)) {
        desk_fail_text(DESK_INVALID, "date: a day like 2015-12-31 was expected");
        return;
    }
    if (!desk_find(map, "precipitation", &at) || !desk_get_float(&at, &day.precipitation) ||
        !desk_find(map, "temp_max", &at) || !desk_get_float(&at, &day.temp_max) ||
        !desk_find(map, "temp_min", &at) || !desk_get_float(&at, &day.temp_min)) {
        desk_fail_text(DESK_INVALID, "precipitation, temp_max and temp_min: numbers were expected");
        return;
    }
    found = days_add(&day);
    if (found == DAY_REFUSED) {
        desk_fail_text(DESK_INVALID, "these numbers cannot be a day's weather");
        return;
    }
    if (found & DAY_RECORD_HIGH) publish_record("high", day.date, day.temp_max);
    if (found & DAY_RECORD_LOW) publish_record("low", day.date, day.temp_min);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

static void put_number(desk_writer *w, const char *key, double value) {
    desk_put_text(w, key);
    desk_put_float(w, value);
}

static void put_count(desk_writer *w, const char *key, int value) {
    desk_put_text(w, key);
    desk_put_int(w, value);
}

DESK_EXPORT("statistics") void widget_statistics(void) {
    uint8_t buf[TEXT_CAP];
    desk_writer w = desk_writer_to(buf, sizeof buf);
    const summary *days = days_summary();
    uint32_t known = 0;
    for (int m = 0; m < 12; m++) known += days->months[m].days > 0;
    desk_put_array(&w, known);
    for (int m = 0; m < 12; m++) {
        const month *at = &days->months[m];
        if (!at->days) continue;
        desk_put_map(&w, 8);
        put_count(&w, "month", m + 1);
        put_count(&w, "days", at->days);
        put_number(&w, "mean_max", at->sum_max / at->days);
        put_number(&w, "mean_min", at->sum_min / at->days);
        put_number(&w, "highest", at->highest);
        put_number(&w, "lowest", at->lowest);
        put_number(&w, "precipitation", at->precipitation);
        put_count(&w, "wet_days", at->wet_days);
    }
    desk_reply_written(&w);
}

/* ---- forecast ---------------------------------------------------------------------------------------------------- */

/* The city as one segment of a path: what is no letter, digit or -._~ becomes %XX (RFC 3986 section 2.3). */
static void forecast_url(const char *name, uint32_t len, char *url) {
    static const char hex[] = "0123456789ABCDEF";
    char *to = url + sprintf(url, "http://api.weather.com/forecast/");
    for (uint32_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)name[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("-._~", c));
        if (plain) *to++ = (char)c;
        else *to++ = '%', *to++ = hex[c >> 4], *to++ = hex[c & 15];
    }
    *to = 0;
}

/* -3.25 as "−3.3", with a real minus sign. */
static const char *degrees(double value, char to[16]) {
    int tenths = (int)(value * 10 + (value < 0 ? -0.5 : 0.5)), size = tenths < 0 ? -tenths : tenths;
    snprintf(to, 16, "%s%d.%d", tenths < 0 ? "\xE2\x88\x92" : "", size / 10, size % 10);
    return to;
}

/* Reads {"summary": ..., "high": ..., "low": ...} and remembers it for the card. */
static bool remember(desk_text body, char *words) {
    json_object object = json_read(body.ptr, body.len);
    json_member member;
    double high = 1e9, low = 1e9;
    char from[16], to[16];
    words[0] = 0;
    while (json_next(&object, &member)) {
        if (!strcmp(member.key, "summary") && member.kind == JSON_STRING) memcpy(words, member.text, JSON_TEXT);
        if (!strcmp(member.key, "high") && member.kind == JSON_NUMBER) high = member.number;
        if (!strcmp(member.key, "low") && member.kind == JSON_NUMBER) low = member.number;
    }
    if (!object.done || !printable(words) || !(high > -100 && high < 100) || !(low > -100 && low < 100)) return false;
    snprintf(forecast_line, sizeof forecast_line, "%s, %s to %s \xC2\xB0" "C", words, degrees(low, from),
             degrees(high, to));
    return true;
}

DESK_EXPORT("forecast") void widget_forecast(uint32_t handle, uint32_t len) {
    static uint8_t http_buf[HTTP_CAP], reply_buf[HTTP_CAP];
    char name[JSON_TEXT], url[URL_CAP], words[JSON_TEXT];
    desk_writer w = desk_writer_to(reply_buf, sizeof reply_buf);
    desk_http http;
    int32_t got = desk_read_all(handle, len, name, sizeof name - 1);
    bool ok = false;
    if (got <= 0) {
        desk_fail_text(DESK_INVALID, "a city has 1 to 64 bytes");
        return;
    }
    forecast_url(name, (uint32_t)got, url);
    desk_put_map(&w, 3);

    http = desk_http_get(url, http_buf, sizeof http_buf);
    if (http.code == 0 && http.status == 200) ok = remember(http.body, words);
    desk_put_text(&w, "ok");
    desk_put_bool(&w, ok);
    desk_put_text(&w, "summary");
    if (ok) desk_put_text(&w, words);
    else if (http.code) desk_put_text_n(&w, http.message.ptr, http.message.len);
    else desk_put_text(&w, "the server's answer is no forecast");

    /* What a curious extension might try: tell somebody else. Nobody granted that, so the host answers with a denial. */
    http = desk_http_get("http://telemetry.example.net/beacon", http_buf, sizeof http_buf);
    desk_put_text(&w, "telemetry");
    if (http.code) desk_put_text_n(&w, http.message.ptr, http.message.len);
    else desk_put_text(&w, "sent");
    desk_reply_written(&w);
}
