/* One guest for every peer: it does the same work on the same bytes, and only the frame around it differs.
 *
 * The work is a transformation that nobody can shorten to "hand the input back": every 64-bit word is XORed with a
 * constant, and the sum of the words that came in is appended. `echo.py` computes the same and compares every answer.
 *
 * `burn` is for computing alone, `ask` for what is asked of the host, `on_tick` and `heard` for events: the least that a guest can do with a number.
 *
 *     -DPEER_DESK      desk.h: read, work, reply
 *     -DPEER_EXTISM    as Extism's C PDK does it: load word by word, work, alloc, store word by word, output_set
 *     -DPEER_RAW       alloc, echo and free for an embedder that writes to and reads from the memory by itself
 */
#include <stdint.h>

#define ROOM 65536 /* bytes of the largest input; a multiple of 8, as every input is */

static uint64_t words[ROOM / 8 + 1];

static inline int fits(uint64_t len) { return len <= ROOM && len % 8 == 0; }

/* In place. Returns the length of the output in bytes: 8 more than that of the input. */
static uint32_t work(uint32_t len) {
    uint32_t n = len / 8, i;
    uint64_t sum = 0;
    for (i = 0; i < n; i++) {
        sum += words[i];
        words[i] ^= 0xA5A5A5A5A5A5A5A5u;
    }
    words[n] = sum;
    return len + 8;
}

/* `steps` steps of a generator whose end `echo.py` can tell without taking them. */
#if !defined(PEER_EXTISM)
static uint32_t generate(uint32_t steps) {
    uint32_t x = 1;
    for (; steps; steps--) x = x * 1664525u + 1013904223u;
    return x;
}
#endif

#if !defined(PEER_RAW)
static int32_t heard;
#endif

#if defined(PEER_DESK)

#include "desk.h"

DESK_EXPORT("echo") void echo(uint32_t handle, uint32_t len) {
    if (!fits(len) || desk_read_all(handle, len, words, ROOM) < 0) desk_fail_text(DESK_INVALID, "no such length");
    else desk_reply(words, work(len));
}

DESK_EXPORT("on_tick") void on_tick(int32_t n) { heard += n; }

DESK_EXPORT("heard") int32_t heard_so_far(void) { return heard; }

DESK_EXPORT("burn") uint32_t burn(uint32_t steps) { return generate(steps); }

/* Endless: somebody has to stop it. */
DESK_EXPORT("spin") void spin(void) {
    volatile uint32_t turns = 0;
    for (;;) turns++;
}

/* Busy until whoever listens has made room for the last of three events: one is the integer 1 in CBOR. */
DESK_EXPORT("hold") void hold(void) {
    for (int i = 0; i < 3; i++) desk_publish("bench.hold", 10, "\x01", 1);
}

/* Asks for what its caller says, and hands back the answer. */
DESK_EXPORT("ask") void ask(uint32_t name, uint32_t name_len, uint32_t payload, uint32_t len) {
    char subject[64];
    if (desk_read_all(name, name_len, subject, sizeof subject) < 0 || desk_read_all(payload, len, words, ROOM) < 0) {
        desk_fail_text(DESK_INVALID, "too long");
        return;
    }
    uint64_t pair = desk_request(subject, name_len, words, len);
    uint32_t answer = (uint32_t)(pair >> 32), answer_len = (uint32_t)pair;
    if (!answer || desk_read_all(answer, answer_len, words, sizeof words) < 0) desk_fail_text(DESK_TOO_LARGE, "no answer");
    else desk_reply(words, answer_len);
}

#elif defined(PEER_EXTISM)

/* From extism-pdk.h, declared by hand: https://github.com/extism/c-pdk */
#define EXTISM(name) __attribute__((import_module("extism:host/env"), import_name(name)))
EXTISM("input_length") uint64_t input_length(void);
EXTISM("input_offset") uint64_t input_offset(void);
EXTISM("load_u64") uint64_t load_u64(uint64_t at);
EXTISM("alloc") uint64_t alloc(uint64_t len);
EXTISM("store_u64") void store_u64(uint64_t at, uint64_t word);
EXTISM("output_set") void output_set(uint64_t at, uint64_t len);

__attribute__((export_name("echo"))) int32_t echo(void) {
    uint64_t from = input_offset(), to, len = input_length(), i;
    if (!fits(len)) return 1;
    for (i = 0; i < len; i += 8) words[i / 8] = load_u64(from + i);
    len = work((uint32_t)len);
    to = alloc(len);
    for (i = 0; i < len; i += 8) store_u64(to + i, words[i / 8]);
    output_set(to, len);
    return 0;
}

__attribute__((export_name("on_tick"))) int32_t on_tick(void) {
    heard += (int32_t)load_u64(input_offset());
    return 0;
}

__attribute__((export_name("heard"))) int32_t heard_so_far(void) {
    uint64_t to = alloc(8);
    store_u64(to, (uint64_t)heard);
    output_set(to, 8);
    return 0;
}

#elif defined(PEER_RAW)

/* The cheapest allocator there is: one call has one buffer. */
__attribute__((export_name("alloc"))) void *alloc(uint32_t len) { return len <= sizeof words ? words : 0; }

__attribute__((export_name("free"))) void release(void *at) { (void)at; }

/* The output is where the input was; the caller allocates 8 bytes more than it writes. */
__attribute__((export_name("echo"))) uint32_t echo(uint32_t len) { return fits(len) ? work(len) : 0; }

__attribute__((export_name("burn"))) uint32_t burn(uint32_t steps) { return generate(steps); }

#else
#error "say for whom: -DPEER_DESK, -DPEER_EXTISM or -DPEER_RAW"
#endif
