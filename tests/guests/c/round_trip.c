/* round_trip.c - freestanding: takes every message apart and makes it anew, for tests/guests/test_round_trip_c.py.
 *
 * There is an export for each shape a value has in wasm, and the test declares it with the types of that shape. Flat values go
 * through variables of the C type. CBOR is read item by item, by a reader of its own, and written again from what was understood:
 * nothing is copied whole, so what the host writes, its declared types promise, and C sees is the same or does not come back.
 */
#include <desk.h>

enum { CAP = 256 * 1024, MAX_DEPTH = 16 };

static uint8_t in[CAP], out[CAP];

typedef struct {
    const uint8_t *at, *end;
    const char *wrong; /* why it cannot be read on; NULL: nothing is wrong */
} source;

typedef struct {
    uint32_t len;
    bool full;
} sink;

static void put(sink *to, uint32_t byte) {
    if (to->len == CAP) to->full = true;
    else out[to->len++] = (uint8_t)byte;
}

static uint32_t next(source *from) {
    if (from->at < from->end) return *from->at++;
    if (!from->wrong) from->wrong = "it ends too early";
    return 0;
}

static void refuse(source *from, const char *why) {
    if (!from->wrong) from->wrong = why;
    from->at = from->end;
}

/* ---- Text: UTF-8 to code points and back (RFC 3629) */

static uint32_t get_point(source *from) {
    uint32_t first = next(from), point, least, more;
    if (first < 0x80) return first;
    if (first < 0xC0 || first > 0xF7) return refuse(from, "no character begins so"), 0;
    more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    for (point = first & 0x3Fu >> more; more; more--) {
        uint32_t byte = next(from);
        if ((byte & 0xC0) != 0x80) refuse(from, "a character is cut");
        point = point << 6 | (byte & 0x3F);
    }
    if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) refuse(from, "no such character");
    return point;
}

static void put_point(sink *to, uint32_t point) {
    if (point < 0x80) {
        put(to, point);
        return;
    }
    if (point < 0x800) {
        put(to, 0xC0 | point >> 6);
    } else {
        if (point < 0x10000) {
            put(to, 0xE0 | point >> 12);
        } else {
            put(to, 0xF0 | point >> 18);
            put(to, 0x80 | (point >> 12 & 0x3F));
        }
        put(to, 0x80 | (point >> 6 & 0x3F));
    }
    put(to, 0x80 | (point & 0x3F));
}

static void text(source *from, sink *to) {
    while (from->at < from->end) put_point(to, get_point(from));
}

static void bytes(source *from, sink *to) {
    while (from->at < from->end) put(to, next(from));
}

/* ---- JSON: looked through, and given back as it is */

static void json(source *from, sink *to) {
    char open[64];
    uint32_t depth = 0;
    bool quoted = false;
    while (from->at < from->end) {
        uint32_t byte = next(from);
        put(to, byte);
        if (quoted) {
            if (byte == '\\') put(to, next(from));
            else if (byte == '"') quoted = false;
            else if (byte < 0x20) refuse(from, "a control character in a string");
        } else if (byte == '"') {
            quoted = true;
        } else if (byte == '[' || byte == '{') {
            if (depth == sizeof open) refuse(from, "too deep");
            else open[depth++] = byte == '[' ? ']' : '}';
        } else if (byte == ']' || byte == '}') {
            if (!depth || (uint8_t)open[--depth] != byte) refuse(from, "brackets that do not match");
        }
    }
    if (depth || quoted) refuse(from, "it is not closed");
}

/* ---- CBOR: RFC 8949 without tags, open lengths, and keys that are not text */

static uint64_t get_number(source *from, uint32_t info) {
    uint32_t width;
    uint64_t number = 0;
    if (info < 24) return info;
    if (info > 27) return refuse(from, "an open length, or no length"), 0;
    for (width = 1u << (info - 24); width; width--) number = number << 8 | next(from);
    return number;
}

static void put_number(sink *to, uint32_t major, uint64_t number) {
    uint32_t info = number < 24 ? (uint32_t)number : number <= 0xFF ? 24 : number <= 0xFFFF ? 25 : number <= 0xFFFFFFFF ? 26 : 27;
    uint32_t width = info < 24 ? 0 : 1u << (info - 24);
    put(to, major << 5 | info);
    while (width--) put(to, (uint32_t)(number >> 8 * width) & 0xFF);
}

static double get_float(source *from, uint32_t info) {
    uint64_t bits = get_number(from, info);
    uint32_t single = (uint32_t)bits;
    float number;
    double wide;
    if (info == 27) {
        __builtin_memcpy(&wide, &bits, 8);
        return wide;
    }
    if (info == 25) { /* sign 1, exponent 5, fraction 10: the host writes infinities and NaN so */
        uint32_t sign = single >> 15 << 31, exponent = single >> 10 & 31, fraction = single & 0x3FF;
        if (!exponent) return fraction * (sign ? -0x1p-24 : 0x1p-24);
        single = sign | (exponent == 31 ? 0xFF : exponent + 112) << 23 | fraction << 13;
    }
    __builtin_memcpy(&number, &single, 4);
    return number;
}

static void put_float(sink *to, double number) {
    uint64_t bits;
    uint32_t width = 8;
    __builtin_memcpy(&bits, &number, 8);
    put(to, 0xFB);
    while (width--) put(to, (uint32_t)(bits >> 8 * width) & 0xFF);
}

static void string(source *from, sink *to, uint32_t major, uint64_t len) {
    source inner = *from;
    if (len > (uint64_t)(from->end - from->at)) {
        refuse(from, "a string that is longer than the message");
        return;
    }
    inner.end = from->at += len;
    put_number(to, major, len);
    if (major == 3) text(&inner, to);
    else bytes(&inner, to);
    from->wrong = inner.wrong;
}

static void item(source *from, sink *to, uint32_t depth, bool key) {
    uint32_t first = next(from), major = first >> 5, info = first & 31;
    uint64_t number;
    if (from->wrong) return;
    if (key && major != 3) {
        refuse(from, "a key that is no text");
        return;
    }
    if (major == 7) {
        if (info == 20 || info == 21) {
            bool truth = info == 21;
            put(to, truth ? 0xF5 : 0xF4);
        } else if (info == 22) {
            put(to, 0xF6);
        } else if (info >= 25 && info <= 27) {
            put_float(to, get_float(from, info));
        } else {
            refuse(from, "a simple value other than false, true and null");
        }
        return;
    }
    number = get_number(from, info);
    switch (major) {
    case 0:
    case 1: put_number(to, major, number); break;
    case 2:
    case 3: string(from, to, major, number); break;
    case 4:
    case 5:
        if (depth == MAX_DEPTH) refuse(from, "too deep");
        put_number(to, major, number);
        for (; number && !from->wrong; number--) {
            if (major == 5) item(from, to, depth + 1, true);
            item(from, to, depth + 1, false);
        }
        break;
    default: refuse(from, "a tag");
    }
}

static void cbor(source *from, sink *to) {
    item(from, to, 0, false);
    if (from->at != from->end) refuse(from, "bytes after the end");
}

/* ---- Exports */

static source fetch(uint32_t handle, uint32_t len) {
    int32_t got = desk_read_all(handle, len, in, CAP);
    source from = {in, in + (got < 0 ? 0 : got), got < 0 ? "the payload could not be read" : NULL};
    return from;
}

static void give(const source *from, const sink *to) {
    if (from->wrong) desk_fail_text(DESK_INTERNAL, from->wrong);
    else if (to->full) desk_fail_text(DESK_TOO_LARGE, "the result does not fit");
    else desk_reply(out, to->len);
}

static void again(uint32_t handle, uint32_t len, void (*kind)(source *, sink *)) {
    source from = fetch(handle, len);
    sink to = {0, false};
    if (!from.wrong) kind(&from, &to);
    give(&from, &to);
}

DESK_EXPORT("string") void string_again(uint32_t handle, uint32_t len) { again(handle, len, text); }
DESK_EXPORT("bytes") void bytes_again(uint32_t handle, uint32_t len) { again(handle, len, bytes); }
DESK_EXPORT("json") void json_again(uint32_t handle, uint32_t len) { again(handle, len, json); }
DESK_EXPORT("cbor") void cbor_again(uint32_t handle, uint32_t len) { again(handle, len, cbor); }

DESK_EXPORT("bool") bool bool_again(bool v) { return v; }
DESK_EXPORT("i8") int8_t i8_again(int8_t v) { return v; }
DESK_EXPORT("i16") int16_t i16_again(int16_t v) { return v; }
DESK_EXPORT("i32") int32_t i32_again(int32_t v) { return v; }
DESK_EXPORT("i64") int64_t i64_again(int64_t v) { return v; }
DESK_EXPORT("u8") uint8_t u8_again(uint8_t v) { return v; }
DESK_EXPORT("u16") uint16_t u16_again(uint16_t v) { return v; }
DESK_EXPORT("u32") uint32_t u32_again(uint32_t v) { return v; }
DESK_EXPORT("u64") uint64_t u64_again(uint64_t v) { return v; }
DESK_EXPORT("f32") float f32_again(float v) { return v; }
DESK_EXPORT("f64") double f64_again(double v) { return v; }

DESK_EXPORT("char") uint32_t char_again(uint32_t v) {
    sink to = {0, false}; /* by way of UTF-8 */
    source from = {out, out, NULL};
    put_point(&to, v);
    from.end += to.len;
    return get_point(&from);
}

static void put_signed(sink *to, int64_t number) {
    if (number < 0) put_number(to, 1, (uint64_t)(-1 - number));
    else put_number(to, 0, (uint64_t)number);
}

/* A payload as an item of the result: text and bytes as strings, JSON as its text, CBOR as it is. */
static const char *put_payload(sink *to, uint32_t handle, uint32_t len, uint32_t major) {
    source from = fetch(handle, len);
    if (from.wrong) return from.wrong;
    if (major) string(&from, to, major, len);
    else cbor(&from, to);
    return from.wrong;
}

/* Every shape at once: a tuple of all of them. */
DESK_EXPORT("all")
void all(bool truth, int8_t a, int16_t b, int32_t c, int64_t d, uint8_t e, uint16_t f, uint32_t g, uint64_t h, float i,
         double j, uint32_t letter, uint32_t text_, uint32_t text_len, uint32_t bytes_, uint32_t bytes_len, uint32_t json_,
         uint32_t json_len, uint32_t cbor_, uint32_t cbor_len) {
    sink to = {0, false}, one = {0, false};
    source from = {in, in, NULL};
    const char *wrong;
    put_number(&to, 4, 16);
    put(&to, truth ? 0xF5 : 0xF4);
    put_signed(&to, a);
    put_signed(&to, b);
    put_signed(&to, c);
    put_signed(&to, d);
    put_number(&to, 0, e);
    put_number(&to, 0, f);
    put_number(&to, 0, g);
    put_number(&to, 0, h);
    put_float(&to, (double)i);
    put_float(&to, j);
    one.len = to.len + 1; /* where the text of one character is written, before its length is known */
    put_point(&one, letter);
    put_number(&to, 3, one.len - to.len - 1);
    to.len = one.len;
    if ((wrong = put_payload(&to, text_, text_len, 3)) || (wrong = put_payload(&to, bytes_, bytes_len, 2)) ||
        (wrong = put_payload(&to, json_, json_len, 3)) || (wrong = put_payload(&to, cbor_, cbor_len, 0)))
        from.wrong = wrong;
    give(&from, &to);
}
