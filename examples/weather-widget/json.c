/* json.c - a cursor over the text; nothing is allocated and nothing recurses: nested values are only stepped over. */
#include "json.h"

#include <string.h>

enum { DEEPEST = 16 };

json_object json_read(const char *text, uint32_t len) {
    json_object o = {text, text + len, false, false};
    return o;
}

static char look(json_object *o) {
    while (o->at < o->end && (*o->at == ' ' || *o->at == '\t' || *o->at == '\n' || *o->at == '\r')) o->at++;
    return o->at < o->end ? *o->at : 0;
}

static bool eat(json_object *o, char wanted) {
    if (look(o) != wanted) return false;
    o->at++;
    return true;
}

static bool hex4(json_object *o, uint32_t *value) {
    *value = 0;
    if (o->end - o->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = *o->at++, letter = (char)(c | 32);
        if (c >= '0' && c <= '9') *value = *value << 4 | (uint32_t)(c - '0');
        else if (letter >= 'a' && letter <= 'f') *value = *value << 4 | (uint32_t)(letter - 'a' + 10);
        else return false;
    }
    return true;
}

/* The code point after a backslash and `u`, with its second half when it needs one. */
static bool escaped(json_object *o, uint32_t *point) {
    uint32_t second;
    if (!hex4(o, point)) return false;
    if (*point >= 0xDC00 && *point < 0xE000) return false;
    if (*point < 0xD800 || *point >= 0xE000) return true;
    if (o->end - o->at < 6 || *o->at++ != '\\' || *o->at++ != 'u' || !hex4(o, &second)) return false;
    if (second < 0xDC00 || second >= 0xE000) return false;
    *point = 0x10000 + ((*point - 0xD800) << 10) + (second - 0xDC00);
    return true;
}

/* A code point as UTF-8: a first byte that says how many follow, and six bits in each of those. */
static int encode(uint32_t point, char *to) {
    int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t first[] = {0, 0xC0, 0xE0, 0xF0};
    to[0] = (char)(first[more] | point >> 6 * more);
    for (int i = 1; i <= more; i++) to[i] = (char)(0x80 | (point >> 6 * (more - i) & 63));
    return 1 + more;
}

/* A string into a buffer of JSON_TEXT bytes, or past it when there is none. One that does not fit is malformed. */
static bool string(json_object *o, char *to) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t n = 0;
    if (!eat(o, '"')) return false;
    while (o->at < o->end) {
        char piece[4], c = *o->at++;
        int length = 1;
        if (c == '"') {
            if (to) to[n] = 0;
            return true;
        }
        if ((uint8_t)c < 0x20) return false;
        piece[0] = c;
        if (c == '\\') {
            const char *name;
            uint32_t point;
            if (o->at == o->end) return false;
            c = *o->at++;
            if (c == 'u') {
                if (!escaped(o, &point) || !point) return false;
                length = encode(point, piece);
            } else {
                name = c ? strchr(names, c) : NULL;
                if (!name) return false;
                piece[0] = meant[name - names];
            }
        }
        if (to) {
            if (n + (uint32_t)length >= JSON_TEXT) return false;
            memcpy(to + n, piece, (size_t)length);
            n += (uint32_t)length;
        }
    }
    return false;
}

static bool digits(json_object *o, double *value, int *scale) {
    const char *start = o->at;
    for (; o->at < o->end && *o->at >= '0' && *o->at <= '9'; o->at++) {
        *value = *value * 10 + (*o->at - '0');
        --*scale;
    }
    return o->at > start;
}

static bool number(json_object *o, double *value) {
    bool negative = *o->at == '-', small = false;
    double exponent = 0;
    int scale = 0, ignored = 0;
    const char *first = o->at += negative;
    *value = 0;
    if (!digits(o, value, &ignored) || (*first == '0' && o->at > first + 1)) return false;
    if (o->at < o->end && *o->at == '.') {
        o->at++;
        if (!digits(o, value, &scale)) return false;
    }
    if (o->at < o->end && (*o->at | 32) == 'e') {
        o->at++;
        if (o->at < o->end && (*o->at == '-' || *o->at == '+')) small = *o->at++ == '-';
        if (!digits(o, &exponent, &ignored) || exponent > 400) return false;
    }
    scale += small ? -(int)exponent : (int)exponent;
    for (; scale > 0; scale--) *value *= 10;
    double divisor = 1;
    for (; scale < 0 && scale > -300; scale++) divisor *= 10;
    *value = (negative ? -*value : *value) / divisor;
    return scale > -300 && *value > -1e300 && *value < 1e300;
}

/* Steps over a nested array or object: only its brackets and strings are looked at. */
static bool skip(json_object *o) {
    char closing[DEEPEST];
    int depth = 0;
    do {
        char c = look(o);
        if (!c) return false;
        if (c == '"') {
            if (!string(o, NULL)) return false;
            continue;
        }
        o->at++;
        if (c == '[' || c == '{') {
            if (depth == DEEPEST) return false;
            closing[depth++] = c == '[' ? ']' : '}';
        } else if (c == ']' || c == '}') {
            if (!depth || closing[--depth] != c) return false;
        }
    } while (depth);
    return true;
}

static bool word(json_object *o) {
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(o->end - o->at) >= n && !memcmp(o->at, words[i], n)) return o->at += n, true;
    }
    return false;
}

bool json_next(json_object *o, json_member *m) {
    char c;
    if (o->done || (!o->started && !eat(o, '{'))) return false;
    if (look(o) == '}') {
        o->at++;
        o->done = look(o) == 0 && o->at == o->end;
        o->at = o->end;
        return false;
    }
    if ((o->started && !eat(o, ',')) || !string(o, m->key) || !eat(o, ':')) return false;
    o->started = true;
    c = look(o);
    m->text[0] = 0;
    m->number = 0;
    if (c == '"') return m->kind = JSON_STRING, string(o, m->text);
    if (c == '-' || (c >= '0' && c <= '9')) return m->kind = JSON_NUMBER, number(o, &m->number);
    m->kind = JSON_OTHER;
    return c == '[' || c == '{' ? skip(o) : word(o);
}
