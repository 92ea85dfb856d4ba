/* desk.h - write a desk extension in C (guest ABI 0.1).
 *
 * An extension is a WASM module and a manifest. The manifest names the functions the extension offers and their types;
 * the host calls them, one at a time, and this header is all they need to talk back. Here is a whole extension:
 *
 *     #include "desk.h"
 *
 *     // manifest.ron:   exports: { "add": (params: [i32, i32], ret: i32), "greet": (params: [string], ret: string) }
 *
 *     DESK_EXPORT("add") int32_t add(int32_t a, int32_t b) { return a + b; }
 *
 *     DESK_EXPORT("greet") void greet(uint32_t handle, uint32_t len) {
 *         char name[64];
 *         if (desk_read_all(handle, len, name, sizeof name) < 0) desk_fail_text(DESK_INVALID, "the name is too long");
 *         else desk_reply(name, len);
 *     }
 *
 *     clang --target=wasm32 -nostdlib -Os -Wl,--no-entry -o extension.wasm extension.c
 *
 * Three rules carry all of it:
 *
 *   1. Numbers, bools and chars are passed as they are. Everything else arrives as a pair (handle, length), is fetched
 *      with `desk_read`, and is given back with `desk_reply`. The host never writes into your memory unasked.
 *   2. A mistake you notice is an error *value*: say `desk_fail` and return. A trap (unreachable, a bad pointer) loses
 *      the instance and everything it remembered; an error value loses nothing.
 *   3. The world is reached only by asking: `desk_request` for one answer, `desk_publish` for everyone who listens.
 *      What the manifest did not ask for, or the operator did not grant, is answered with DESK_DENIED; it does not trap.
 *
 * What is below, in order: imports, exports, error codes, payloads, CBOR writer, CBOR reader, asking, questions, HTTP.
 * C99 and C++, no libc needed (with wasi-libc it works as well), no allocation: every buffer is yours and has a bound.
 * The full contract is docs/abi.md.
 */
#ifndef DESK_H
#define DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Imports: what the host offers -------------------------------------------------------------------------------
 *
 * One a line, held by a test against the host's table and guests/all_imports.wat. A pointer and length outside of
 * memory trap. During `_initialize` (constructors) only `desk_log` does anything.
 */
#if defined(__wasm__)
#define DESK_IMPORT(name) __attribute__((import_module("desk@0.1"), import_name(name)))
#else
#define DESK_IMPORT(name) /* elsewhere these are ordinary functions, which a native test may supply */
#endif

/* Copies min(cap, length - offset) bytes of a payload to ptr; returns how many (0 at or past the end), or -code. */
DESK_IMPORT("read") int32_t desk_read(uint32_t handle, uint32_t offset, void *ptr, uint32_t cap);
/* Frees a payload before the call ends (the end of the call frees all). An unknown handle does nothing. */
DESK_IMPORT("drop") void desk_drop(uint32_t handle);
/* Gives the result of an export, if it is not flat, exactly once. string: UTF-8; bytes: raw; json: text; else CBOR. */
DESK_IMPORT("reply") void desk_reply(const void *ptr, uint32_t len);
/* Ends the call as an error value, with a message in UTF-8. Return right after it; a flat result is then ignored. */
DESK_IMPORT("fail") void desk_fail(int32_t code, const char *ptr, uint32_t len);
/* One line for the extension's log, UTF-8; the level is a `desk_level` of below. */
DESK_IMPORT("log") void desk_log(int32_t level, const char *ptr, uint32_t len);
/* The call as CBOR: {subject, sender, id, attempt, deadline_ms, config}. Returns a pair: see DESK_HANDLE below. */
DESK_IMPORT("context") uint64_t desk_context(void);
/* Asks one receiver and waits. Payload: one CBOR item. The answer (a pair) is {ok: value} or {error: {code, message}}. */
DESK_IMPORT("request") uint64_t desk_request(const char *subject, uint32_t subject_len, const void *ptr, uint32_t len);
/* Tells everyone who listens. Payload: one CBOR item. Returns the number of receivers, or -code. */
DESK_IMPORT("publish") int32_t desk_publish(const char *subject, uint32_t subject_len, const void *ptr, uint32_t len);

/* The two halves of a pair. Handles count from 1: where the handle is 0, the other half is an error code. */
#define DESK_HANDLE(pair) ((uint32_t)((pair) >> 32))
#define DESK_LENGTH(pair) ((uint32_t)(pair))

/* ---- Exports: what you offer --------------------------------------------------------------------------------------
 *
 * DESK_EXPORT("name") before a function makes it the export of that name. How the manifest's types look from C:
 *
 *     bool char i8 i16 i32 u8 u16 u32     int32_t or uint32_t
 *     i64 u64                             int64_t or uint64_t
 *     f32, f64                            float, double
 *     string bytes json and all others    two uint32_t: handle, length. As a result: void, and desk_reply
 */
#if defined(__wasm__)
#define DESK_EXPORT(name) __attribute__((export_name(name)))
#else
#define DESK_EXPORT(name)
#endif

/* ---- Error codes and log levels ------------------------------------------------------------------------------------
 *
 * One table for everything: an error answer carries the code, an import that returns a count returns it negated.
 * `desk_fail` takes any number and the application sees it; another extension sees DESK_FAILED and your message. When
 * you have no numbers of your own, DESK_INVALID (the caller's doing) and DESK_FAILED (yours) say what is needed.
 */
enum desk_code {
    DESK_INVALID = 1,     /* what was asked is malformed, or not of the declared type */
    DESK_DENIED = 2,      /* the manifest does not ask for it, or the operator did not grant it: see the message */
    DESK_UNKNOWN = 3,     /* there is no such subject, capability, extension or handle */
    DESK_UNAVAILABLE = 4, /* it exists but cannot answer now: stopped, or the outside world did not answer */
    DESK_DEADLINE = 5,    /* no answer in time */
    DESK_TOO_LARGE = 6,   /* larger than a limit, or than the buffer you gave */
    DESK_OVERLOADED = 7,  /* too many of something: messages, or payloads you hold */
    DESK_DEADLOCK = 8,    /* the one you ask is waiting for you */
    DESK_HOPS = 9,        /* one message has caused too many others */
    DESK_FAILED = 10,     /* the other extension answered with an error of its own */
    DESK_TRAPPED = 11,    /* the other extension crashed, was killed, or broke its word */
    DESK_NOT_YET = 12,    /* only `log` works during `_initialize` */
    DESK_INTERNAL = 13    /* the host's own mistake */
};

enum desk_level { DESK_TRACE = 0, DESK_DEBUG = 1, DESK_INFO = 2, DESK_WARN = 3, DESK_ERROR = 4 };

/* ---- Payloads and texts ------------------------------------------------------------------------------------------- */

/* Some bytes somewhere in your memory: a text or a byte string. Not terminated by a NUL. */
typedef struct {
    const char *ptr;
    uint32_t len;
} desk_text;

static inline uint32_t desk_strlen(const char *text) {
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}

static inline bool desk_text_is(desk_text text, const char *word) {
    uint32_t i = 0;
    for (; i < text.len; i++)
        if (!word[i] || word[i] != text.ptr[i]) return false;
    return !word[i];
}

/* Copies a text into a C string of at most cap bytes with its NUL; cuts what does not fit, never inside a character. */
static inline void desk_text_copy(desk_text text, char *to, uint32_t cap) {
    uint32_t n = text.len, i;
    if (!cap) return;
    if (n > cap - 1) {
        n = cap - 1;
        while (n && ((uint8_t)text.ptr[n] & 0xC0) == 0x80) n--;
    }
    for (i = 0; i < n; i++) to[i] = text.ptr[i];
    to[n] = 0;
}

/* True for well-formed UTF-8 (RFC 3629). The host refuses other texts: check what came from outside, say by HTTP. */
static inline bool desk_text_valid(desk_text text) {
    const uint8_t *at = (const uint8_t *)text.ptr, *end = at + text.len;
    while (at < end) {
        uint32_t first = *at++, point = first, more, least;
        if (first < 0x80) continue;
        if (first < 0xC2 || first > 0xF4) return false;
        more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        for (point &= 0x3Fu >> more; more; more--, at++) {
            if (at == end || (*at & 0xC0) != 0x80) return false;
            point = point << 6 | (*at & 0x3F);
        }
        if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
    }
    return true;
}

/* Reads a whole payload into a buffer. Returns its length, or -DESK_TOO_LARGE when cap is smaller, or -code. */
static inline int32_t desk_read_all(uint32_t handle, uint32_t len, void *buf, uint32_t cap) {
    uint32_t done = 0;
    if (len > cap || len > INT32_MAX) return -DESK_TOO_LARGE;
    while (done < len) {
        int32_t got = desk_read(handle, done, (uint8_t *)buf + done, len - done);
        if (got < 0) return got;
        if (got == 0) return -DESK_UNKNOWN; /* shorter than it was said to be */
        done += (uint32_t)got;
    }
    return (int32_t)done;
}

/* A piece of memory to be handed out from the front: enough for one call, forgotten at once with `used = 0`.
 *
 *     static uint8_t memory[16384];
 *     desk_arena arena = {memory, sizeof memory, 0};
 */
typedef struct {
    uint8_t *base;
    uint32_t size;
    uint32_t used;
} desk_arena;

/* n bytes aligned to 8, or NULL when the arena has no more. */
static inline void *desk_alloc(desk_arena *arena, uint32_t n) {
    uint32_t start = arena->used + (uint32_t)(-(uintptr_t)(arena->base + arena->used) & 7);
    if (start > arena->size || n > arena->size - start) return NULL;
    arena->used = start + n;
    return arena->base + start;
}

/* Reads a whole payload into the arena, with a NUL after it; NULL when it does not fit. */
static inline void *desk_alloc_read(desk_arena *arena, uint32_t handle, uint32_t len) {
    uint32_t before = arena->used;
    uint8_t *at = len == UINT32_MAX ? NULL : (uint8_t *)desk_alloc(arena, len + 1);
    if (!at) return NULL;
    if (desk_read_all(handle, len, at, len) < 0) {
        arena->used = before;
        return NULL;
    }
    at[len] = 0;
    return at;
}

static inline void desk_reply_text(const char *text) { desk_reply(text, desk_strlen(text)); }

static inline void desk_fail_text(int32_t code, const char *message) { desk_fail(code, message, desk_strlen(message)); }

static inline void desk_log_text(int32_t level, const char *line) { desk_log(level, line, desk_strlen(line)); }

/* ---- CBOR writer ---------------------------------------------------------------------------------------------------
 *
 * CBOR (RFC 8949) is how records, lists, options and every message to another extension are written. A map says first
 * how many pairs follow, then key, value, key, value; an array says how many items follow. A record of the manifest is
 * a map with its field names as keys.
 *
 *     uint8_t buf[256];
 *     desk_writer w = desk_writer_to(buf, sizeof buf);
 *     desk_put_map(&w, 2);
 *     desk_put_text(&w, "city"); desk_put_text(&w, "Seattle");
 *     desk_put_text(&w, "high"); desk_put_float(&w, 12.5);
 *     desk_reply_written(&w);
 *
 * What does not fit sets `full`, and nothing more is written: check once, at the end.
 */
typedef struct {
    uint8_t *buf;
    uint32_t cap;
    uint32_t len; /* bytes written */
    bool full;    /* something did not fit: what stands in buf is not to be used */
} desk_writer;

static inline desk_writer desk_writer_to(void *buf, uint32_t cap) {
    desk_writer w;
    w.buf = (uint8_t *)buf;
    w.cap = cap;
    w.len = 0;
    w.full = false;
    return w;
}

static inline void desk_put_raw_(desk_writer *w, const void *from, uint32_t n) {
    uint32_t i;
    if (w->full || n > w->cap - w->len) {
        w->full = true;
        return;
    }
    for (i = 0; i < n; i++) w->buf[w->len + i] = ((const uint8_t *)from)[i];
    w->len += n;
}

/* First byte and big-endian value, in the shortest form. */
static inline void desk_put_head_(desk_writer *w, uint8_t major, uint64_t value) {
    uint8_t head[9];
    uint32_t width = value < 24 ? 0 : value <= 0xFF ? 1 : value <= 0xFFFF ? 2 : value <= 0xFFFFFFFF ? 4 : 8, i;
    uint8_t info = width == 0 ? (uint8_t)value : width == 1 ? 24 : width == 2 ? 25 : width == 4 ? 26 : 27;
    head[0] = (uint8_t)(major << 5) | info;
    for (i = 0; i < width; i++) head[1 + i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    desk_put_raw_(w, head, 1 + width);
}

static inline void desk_put_map(desk_writer *w, uint32_t pairs) { desk_put_head_(w, 5, pairs); }

static inline void desk_put_array(desk_writer *w, uint32_t items) { desk_put_head_(w, 4, items); }

static inline void desk_put_uint(desk_writer *w, uint64_t value) { desk_put_head_(w, 0, value); }

static inline void desk_put_int(desk_writer *w, int64_t value) {
    if (value < 0) desk_put_head_(w, 1, (uint64_t)(-1 - value));
    else desk_put_head_(w, 0, (uint64_t)value);
}

static inline void desk_put_float(desk_writer *w, double value) {
    uint64_t bits;
    uint8_t raw[9];
    uint32_t i;
    __builtin_memcpy(&bits, &value, 8);
    raw[0] = 0xFB;
    for (i = 0; i < 8; i++) raw[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    desk_put_raw_(w, raw, 9);
}

static inline void desk_put_bool(desk_writer *w, bool value) { desk_put_raw_(w, value ? "\xF5" : "\xF4", 1); }

static inline void desk_put_null(desk_writer *w) { desk_put_raw_(w, "\xF6", 1); }

static inline void desk_put_bytes(desk_writer *w, const void *ptr, uint32_t len) {
    desk_put_head_(w, 2, len);
    desk_put_raw_(w, ptr, len);
}

/* Texts must be UTF-8: the host refuses the whole payload otherwise. */
static inline void desk_put_text_n(desk_writer *w, const char *ptr, uint32_t len) {
    desk_put_head_(w, 3, len);
    desk_put_raw_(w, ptr, len);
}

static inline void desk_put_text(desk_writer *w, const char *text) { desk_put_text_n(w, text, desk_strlen(text)); }

/* Replies with what was written, or fails with DESK_TOO_LARGE when it did not fit. */
static inline void desk_reply_written(const desk_writer *w) {
    if (w->full) desk_fail_text(DESK_TOO_LARGE, "the result does not fit into the extension's buffer");
    else desk_reply(w->buf, w->len);
}

/* ---- CBOR reader ---------------------------------------------------------------------------------------------------
 *
 * A reader is a place in somebody's bytes. Each `desk_get_...` reads one item and steps over it; when the item is of
 * another kind it returns false and the reader is dead: all that follows returns false too, so that a chain of reads
 * needs one check, at the end. Texts and bytes are not copied: they point into the buffer.
 *
 *     desk_reader day = desk_reader_of(buf, len), at;
 *     desk_text date; double high;
 *     if (!desk_find(day, "date", &at) || !desk_get_text(&at, &date)) ...
 *     if (!desk_find(day, "high", &at) || !desk_get_float(&at, &high)) ...
 *
 * Read is what the host writes and no more: definite lengths, text keys, no tags, no nesting beyond DESK_DEPTH.
 */
#define DESK_DEPTH 16

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    bool ok; /* false: dead, an item was missing, malformed or of another kind */
} desk_reader;

enum desk_kind { DESK_NOTHING, DESK_INT, DESK_BYTES, DESK_TEXT, DESK_ARRAY, DESK_MAP, DESK_FLOAT, DESK_BOOL, DESK_NULL };

static inline desk_reader desk_reader_of(const void *buf, uint32_t len) {
    desk_reader r;
    r.at = (const uint8_t *)buf;
    r.end = r.at + len;
    r.ok = true;
    return r;
}

/* True when everything was read and nothing was wrong: one item is all that a payload may hold. */
static inline bool desk_finished(const desk_reader *r) { return r->ok && r->at == r->end; }

/* What comes next, without stepping; DESK_NOTHING at the end, in a dead reader, and before a form that is refused. */
static inline enum desk_kind desk_peek(const desk_reader *r) {
    uint8_t first;
    if (!r->ok || r->at == r->end) return DESK_NOTHING;
    first = *r->at;
    switch (first >> 5) {
    case 0:
    case 1: return DESK_INT;
    case 2: return DESK_BYTES;
    case 3: return DESK_TEXT;
    case 4: return DESK_ARRAY;
    case 5: return DESK_MAP;
    case 7: return first == 0xF4 || first == 0xF5     ? DESK_BOOL
                   : first == 0xF6                    ? DESK_NULL
                   : first >= 0xF9 && first <= 0xFB ? DESK_FLOAT
                                                      : DESK_NOTHING;
    default: return DESK_NOTHING; /* tags */
    }
}

/* Steps over a head of the wanted kind and gives its value. Lengths never exceed what is left of the bytes. */
static inline bool desk_head_(desk_reader *r, enum desk_kind kind, uint64_t *value) {
    uint8_t info;
    uint32_t width, i;
    if (desk_peek(r) != kind || kind == DESK_NOTHING) return r->ok = false;
    info = *r->at & 31;
    width = info < 24 ? 0 : info == 24 ? 1 : info == 25 ? 2 : info == 26 ? 4 : 8;
    if (info > 27 || width > (uint64_t)(r->end - r->at - 1)) return r->ok = false;
    *value = info < 24 ? info : 0;
    for (i = 0; i < width; i++) *value = *value << 8 | r->at[1 + i];
    r->at += 1 + width;
    if (kind == DESK_BYTES || kind == DESK_TEXT || kind == DESK_ARRAY || kind == DESK_MAP)
        r->ok = *value <= (uint64_t)(r->end - r->at) / (kind == DESK_MAP ? 2 : 1);
    return r->ok;
}

static inline bool desk_get_map(desk_reader *r, uint32_t *pairs) {
    uint64_t n = 0;
    bool ok = desk_head_(r, DESK_MAP, &n);
    *pairs = ok ? (uint32_t)n : 0;
    return ok;
}

static inline bool desk_get_array(desk_reader *r, uint32_t *items) {
    uint64_t n = 0;
    bool ok = desk_head_(r, DESK_ARRAY, &n);
    *items = ok ? (uint32_t)n : 0;
    return ok;
}

static inline bool desk_get_slice_(desk_reader *r, enum desk_kind kind, desk_text *slice) {
    uint64_t n = 0;
    bool ok = desk_head_(r, kind, &n);
    slice->ptr = ok ? (const char *)r->at : "";
    slice->len = ok ? (uint32_t)n : 0;
    r->at += slice->len;
    return ok;
}

static inline bool desk_get_text(desk_reader *r, desk_text *text) { return desk_get_slice_(r, DESK_TEXT, text); }

static inline bool desk_get_bytes(desk_reader *r, desk_text *bytes) { return desk_get_slice_(r, DESK_BYTES, bytes); }

static inline bool desk_get_int(desk_reader *r, int64_t *value) {
    bool negative = r->at != r->end && *r->at >> 5 == 1;
    uint64_t n = 0;
    *value = 0;
    if (!desk_head_(r, DESK_INT, &n) || n > INT64_MAX) return r->ok = false;
    *value = negative ? -1 - (int64_t)n : (int64_t)n;
    return true;
}

static inline bool desk_get_uint(desk_reader *r, uint64_t *value) {
    *value = 0;
    if (r->at != r->end && *r->at >> 5 == 1) return r->ok = false;
    return desk_head_(r, DESK_INT, value);
}

/* Half, single and double precision, and integers: a whole number may come as either. */
static inline bool desk_get_float(desk_reader *r, double *value) {
    uint8_t width;
    uint64_t bits = 0;
    int64_t whole = 0;
    float single;
    *value = 0;
    if (desk_peek(r) == DESK_INT) {
        bool ok = desk_get_int(r, &whole);
        *value = (double)whole;
        return ok;
    }
    width = r->at != r->end ? *r->at & 31 : 0;
    if (!desk_head_(r, DESK_FLOAT, &bits)) return false;
    if (width == 27) {
        __builtin_memcpy(value, &bits, 8);
    } else {
        uint32_t half = (uint32_t)bits;
        if (width == 25) { /* sign 1, exponent 5, fraction 10: rebuilt as sign 1, exponent 8, fraction 23 */
            uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
            if (exponent == 0) { /* zero and the smallest: a multiple of 2^-24 */
                *value = (double)fraction * (sign ? -1.0 : 1.0) / 16777216;
                return true;
            }
            half = sign | (exponent == 31 ? 0xFFu : exponent + 112) << 23 | fraction << 13;
        }
        __builtin_memcpy(&single, &half, 4);
        *value = single;
    }
    return true;
}

static inline bool desk_get_bool(desk_reader *r, bool *value) {
    uint64_t n = 0;
    bool ok = desk_head_(r, DESK_BOOL, &n);
    *value = ok && n == 21;
    return ok;
}

static inline bool desk_get_null(desk_reader *r) {
    uint64_t n;
    return desk_head_(r, DESK_NULL, &n);
}

/* Steps over one item with all that is in it. Goes no deeper than DESK_DEPTH, and does not recurse. */
static inline bool desk_skip(desk_reader *r) {
    uint32_t left[DESK_DEPTH]; /* items still to come at each depth; in maps, keys and values both count */
    bool map[DESK_DEPTH];
    uint32_t depth = 0;
    for (;;) {
        enum desk_kind kind = desk_peek(r);
        uint64_t n = 0;
        desk_text slice;
        if (depth && map[depth - 1] && left[depth - 1] % 2 == 0 && kind != DESK_TEXT) return r->ok = false;
        if (depth) left[depth - 1]--;
        if (kind == DESK_TEXT || kind == DESK_BYTES) desk_get_slice_(r, kind, &slice);
        else desk_head_(r, kind, &n);
        if (!r->ok) return false;
        if (kind == DESK_ARRAY || kind == DESK_MAP) {
            if (depth == DESK_DEPTH) return r->ok = false;
            map[depth] = kind == DESK_MAP;
            left[depth++] = (uint32_t)n * (kind == DESK_MAP ? 2 : 1);
        }
        while (depth && left[depth - 1] == 0) depth--;
        if (!depth) return true;
    }
}

/* Finds a key of a map and puts `value` before what stands under it. `map` is a copy and stays where it was, so that
 * one map can be searched for many keys; false, and a dead `value`, when it is no map or has no such key. */
static inline bool desk_find(desk_reader map, const char *key, desk_reader *value) {
    uint32_t pairs = 0;
    desk_text name;
    desk_get_map(&map, &pairs);
    for (; pairs && desk_get_text(&map, &name); pairs--) {
        if (desk_text_is(name, key)) {
            *value = map;
            return true;
        }
        if (!desk_skip(&map)) break;
    }
    *value = map;
    return value->ok = false;
}

/* ---- Asking -------------------------------------------------------------------------------------------------------
 *
 * This asks anyone anything. For what capabilities are asked, see Questions below: they take fewer lines.
 */

/* What came of a question. `value` and `message` point into the buffer that was given for the answer. */
typedef struct {
    int32_t code;      /* 0, or an error code (enum desk_code) */
    desk_reader value; /* code 0: before the value that was answered */
    desk_text message; /* otherwise: why, in words for people */
} desk_answer;

static inline desk_answer desk_answer_error_(int32_t code, const char *message) {
    desk_answer a;
    a.code = code;
    a.value = desk_reader_of("", 0);
    a.value.ok = false;
    a.message.ptr = message;
    a.message.len = desk_strlen(message);
    return a;
}

/* Sends one CBOR item to a subject and waits for the answer, which is read into buf (it may overlap the payload).
 * An answer that does not fit is DESK_TOO_LARGE, whatever it was: in a small buffer a denial looks like that, too. The
 * message of an error has at most 1,024 characters, so with 1,100 bytes you see why (4,200 if it may not be ASCII).
 *
 *     ext.NAME.EXPORT     another extension's export; the payload is an array of its arguments
 *     cap.network.http    a capability of the host; the payload is a record, see docs/abi.md
 */
static inline desk_answer desk_ask(const char *subject, const void *payload, uint32_t len, void *buf, uint32_t cap) {
    uint64_t pair = desk_request(subject, desk_strlen(subject), payload, len);
    desk_answer a = desk_answer_error_(DESK_INTERNAL, "the host's answer has an unknown form");
    desk_reader map, error, at;
    int64_t code;
    desk_text message;
    int32_t got;
    if (!DESK_HANDLE(pair)) return desk_answer_error_((int32_t)DESK_LENGTH(pair), "the host gave no answer, only a code");
    got = desk_read_all(DESK_HANDLE(pair), DESK_LENGTH(pair), buf, cap);
    desk_drop(DESK_HANDLE(pair));
    if (got < 0) return desk_answer_error_(-got, "the answer does not fit into the buffer for it");
    map = desk_reader_of(buf, (uint32_t)got);
    if (desk_find(map, "ok", &a.value)) {
        a.code = 0;
        a.message.len = 0;
    } else if (desk_find(map, "error", &error) && desk_find(error, "code", &at) && desk_get_int(&at, &code) &&
               desk_find(error, "message", &at) && desk_get_text(&at, &message)) {
        a.code = (int32_t)code;
        a.message = message;
    }
    return a;
}

/* ---- Questions -----------------------------------------------------------------------------------------------------
 *
 * What a capability is asked is a record, made field by field. The fields are counted for you, those of a type
 * `option(...)` may be left out, and an `enum` is a text. Question and answer share one buffer:
 *
 *     static uint8_t buf[2048];
 *     desk_question q = desk_question_in(buf, sizeof buf);
 *     desk_answer a;
 *     desk_with_text(&q, "path", "@data/today.txt");
 *     desk_with_bytes(&q, "data", "sunny\n", 6);
 *     desk_with_text(&q, "mode", "append");
 *     a = desk_send(&q, "cap.filesystem.write");
 *     if (desk_failed(&a)) return; // this call has failed with the host's words
 *
 * A mistake in a question is told by desk_send, so there is one check, at the end. The buffer has to hold the larger of
 * question and answer; with 1,100 bytes you see why something was denied (see desk_ask).
 */
typedef struct {
    desk_writer w;
    uint32_t fields;
    const char *wrong; /* NULL, or why this cannot be sent */
} desk_question;

static inline desk_question desk_question_in(void *buf, uint32_t cap) {
    desk_question q;
    q.w = desk_writer_to(buf, cap);
    q.fields = 0;
    q.wrong = NULL;
    desk_put_map(&q.w, 0); /* one byte, which desk_send puts right: hence at most 23 fields */
    return q;
}

/* A field of any kind: with the writer, put exactly one item, say `desk_put_array(desk_with(&q, "tags"), 0)`. */
static inline desk_writer *desk_with(desk_question *q, const char *name) {
    if (++q->fields > 23) q->w.full = true;
    desk_put_text(&q->w, name);
    return &q->w;
}

/* A field that lies in the buffer, where an earlier answer left it, would be overwritten before it is sent: refused. */
static inline void desk_outside_(desk_question *q, const void *ptr, uint32_t len) {
    uintptr_t from = (uintptr_t)ptr, buf = (uintptr_t)q->w.buf;
    if (len && (from - buf < q->w.cap || buf - from < len)) q->wrong = "a field lies in the buffer of its question";
}

static inline void desk_with_text_n(desk_question *q, const char *name, const char *ptr, uint32_t len) {
    desk_outside_(q, ptr, len);
    desk_put_text_n(desk_with(q, name), ptr, len);
}

static inline void desk_with_text(desk_question *q, const char *name, const char *text) {
    desk_with_text_n(q, name, text, desk_strlen(text));
}

static inline void desk_with_bytes(desk_question *q, const char *name, const void *ptr, uint32_t len) {
    desk_outside_(q, ptr, len);
    desk_put_bytes(desk_with(q, name), ptr, len);
}

static inline void desk_with_uint(desk_question *q, const char *name, uint64_t value) {
    desk_put_uint(desk_with(q, name), value);
}

static inline void desk_with_int(desk_question *q, const char *name, int64_t value) {
    desk_put_int(desk_with(q, name), value);
}

static inline void desk_with_float(desk_question *q, const char *name, double value) {
    desk_put_float(desk_with(q, name), value);
}

static inline void desk_with_bool(desk_question *q, const char *name, bool value) {
    desk_put_bool(desk_with(q, name), value);
}

static inline void desk_with_null(desk_question *q, const char *name) { desk_put_null(desk_with(q, name)); }

/* Sends the question, once, and waits for the answer, which takes its place in the buffer. DESK_TOO_LARGE when it did
 * not fit there or has more than 23 fields, DESK_INVALID for another mistake; nothing was sent then. */
static inline desk_answer desk_send(desk_question *q, const char *subject) {
    if (q->wrong) return desk_answer_error_(DESK_INVALID, q->wrong);
    if (q->w.full) return desk_answer_error_(DESK_TOO_LARGE, "the question is larger than its buffer or 23 fields");
    q->wrong = "a question is sent once: make another one";
    q->w.buf[0] = (uint8_t)(0xA0 | q->fields);
    return desk_ask(subject, q->w.buf, q->w.len, q->w.buf, q->w.cap);
}

/* Passes an error on: if the answer is one, fails this call with its code and message and returns true. Return then. */
static inline bool desk_failed(const desk_answer *a) {
    if (a->code) desk_fail(a->code, a->message.ptr, a->message.len);
    return a->code != 0;
}

/* Ends this call as the question ended: with the value as it came, of which nothing was read yet, or with the error.
 * For results that travel as CBOR. A text or bytes: `desk_get_...` and `desk_reply`. */
static inline void desk_reply_answer(const desk_answer *a) {
    if (!desk_failed(a)) desk_reply(a->value.at, (uint32_t)(a->value.end - a->value.at));
}

/* The commonest questions, in one line each. Buffers as above; what is given must lie outside of buf, and what is found
 * points into it. State of one's own takes no permission, files do; both take a host with a `data_dir`. */

/* The value under a key; no such key is no error, but a value with ptr NULL (and len 0). */
static inline desk_answer desk_state_get(const char *key, void *buf, uint32_t cap, desk_text *value) {
    desk_question q = desk_question_in(buf, cap);
    desk_answer a;
    desk_reader at;
    desk_with_text(&q, "key", key);
    a = desk_send(&q, "cap.state.get");
    value->ptr = NULL;
    value->len = 0;
    at = a.value;
    if (a.code == 0 && desk_peek(&at) != DESK_NULL && !desk_get_bytes(&at, value))
        a = desk_answer_error_(DESK_INTERNAL, "the host's answer is no value");
    return a;
}

static inline desk_answer desk_state_put(const char *key, const void *value, uint32_t len, void *buf, uint32_t cap) {
    desk_question q = desk_question_in(buf, cap);
    desk_with_text(&q, "key", key);
    desk_with_bytes(&q, "value", value, len);
    return desk_send(&q, "cap.state.put");
}

/* The answer's value, a bool, says whether there was such a key. */
static inline desk_answer desk_state_delete(const char *key, void *buf, uint32_t cap) {
    desk_question q = desk_question_in(buf, cap);
    desk_with_text(&q, "key", key);
    return desk_send(&q, "cap.state.delete");
}

/* A whole file, of at most 8 MiB; never a part of one: what does not fit is DESK_TOO_LARGE. */
static inline desk_answer desk_file_read(const char *path, void *buf, uint32_t cap, desk_text *data) {
    desk_question q = desk_question_in(buf, cap);
    desk_answer a;
    desk_reader at;
    int64_t size = 0;
    desk_with_text(&q, "path", path);
    desk_with_uint(&q, "length", cap < 0x800000 ? cap : 0x800000);
    a = desk_send(&q, "cap.filesystem.read");
    data->ptr = "";
    data->len = 0;
    if (a.code) return a;
    if (!desk_find(a.value, "size", &at) || !desk_get_int(&at, &size) || !desk_find(a.value, "data", &at) ||
        !desk_get_bytes(&at, data))
        return desk_answer_error_(DESK_INTERNAL, "the host's answer has no data and size");
    if (size <= (int64_t)data->len) return a;
    data->len = 0;
    return desk_answer_error_(DESK_TOO_LARGE, "the file does not fit into the buffer for it");
}

/* A whole new file in the place of the one that was there, if there was one. */
static inline desk_answer desk_file_write(const char *path, const void *data, uint32_t len, void *buf, uint32_t cap) {
    desk_question q = desk_question_in(buf, cap);
    desk_with_text(&q, "path", path);
    desk_with_bytes(&q, "data", data, len);
    return desk_send(&q, "cap.filesystem.write");
}

/* A setting of the manifest's `config` that is a text, also a secret one. */
static inline desk_answer desk_config_text(const char *name, void *buf, uint32_t cap, desk_text *text) {
    desk_question q = desk_question_in(buf, cap);
    desk_answer a;
    desk_reader at;
    desk_with_text(&q, "name", name);
    a = desk_send(&q, "cap.config.get");
    text->ptr = "";
    text->len = 0;
    at = a.value;
    if (a.code == 0 && !desk_get_text(&at, text)) a = desk_answer_error_(DESK_INVALID, "the setting is not a text");
    return a;
}

/* ---- HTTP ----------------------------------------------------------------------------------------------------------
 *
 * Needs `permissions: { network: ["HOST:PORT"] }` in the manifest (no port: 443) and the operator's grant. A redirect
 * is an answer like any other (status 3xx): following it is a new request, with permissions of its own.
 */
typedef struct {
    int32_t code;      /* 0: the server answered, whatever its status; otherwise an error code */
    desk_text message; /* why not, when code is not 0 */
    int32_t status;    /* 200, 404, ... */
    desk_text body;    /* points into buf */
} desk_http;

/* GET url. Request and answer both go through buf, so it has to hold the larger of the two: headers and body. */
static inline desk_http desk_http_get(const char *url, void *buf, uint32_t cap) {
    desk_question q = desk_question_in(buf, cap);
    desk_http http;
    desk_answer a;
    desk_reader at;
    int64_t status = 0;
    desk_with_text(&q, "method", "GET");
    desk_with_text(&q, "url", url);
    a = desk_send(&q, "cap.network.http");
    http.body.ptr = "";
    http.body.len = 0;
    if (a.code == 0 && !(desk_find(a.value, "status", &at) && desk_get_int(&at, &status) &&
                         desk_find(a.value, "body", &at) && desk_get_bytes(&at, &http.body)))
        a = desk_answer_error_(DESK_INTERNAL, "the host's answer has no status and body");
    http.code = a.code;
    http.message = a.message;
    http.status = (int32_t)status;
    return http;
}

/* ---- Without libc --------------------------------------------------------------------------------------------------
 *
 * Compilers call these four on their own account, even in freestanding code. Weak: a definition of yours wins.
 */
#if defined(__wasm__) && !defined(__wasi__)
#define DESK_BUILTIN_(name) __attribute__((weak, no_builtin(name)))

DESK_BUILTIN_("memcpy") void *memcpy(void *to, const void *from, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

DESK_BUILTIN_("memmove") void *memmove(void *to, const void *from, size_t n) {
    size_t i;
    if ((uintptr_t)to <= (uintptr_t)from)
        for (i = 0; i < n; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    else
        for (i = n; i-- > 0;) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

DESK_BUILTIN_("memset") void *memset(void *to, int byte, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) ((uint8_t *)to)[i] = (uint8_t)byte;
    return to;
}

DESK_BUILTIN_("memcmp") int memcmp(const void *a, const void *b, size_t n) {
    size_t i;
    for (i = 0; i < n; i++)
        if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i]) return ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
    return 0;
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* DESK_H */
