/* libc.c - what wasi-libc gives to a guest: stdio, exit, clocks, randomness, environment, arguments, heap, stack. */
#include <desk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static int32_t calls;

DESK_EXPORT("count") int32_t guest_count(void) { return ++calls; }

DESK_EXPORT("say") void guest_say(void) {
    printf("%s %d\n%s\n", "one", 1, "two");
    fflush(stdout);
    fprintf(stderr, "careful: %.3f\n", 0.125);
    printf("unfinished");
    fflush(stdout);
    fputs("last words", stderr);
}

DESK_EXPORT("pieces") void guest_pieces(void) {
    for (const char *at = "a line in pieces\n"; *at; at++) {
        putchar(*at);
        fflush(stdout);
    }
}

DESK_EXPORT("leave") void guest_leave(int32_t status) {
    printf("leaving"); /* exit flushes */
    exit(status);
}

DESK_EXPORT("now") int64_t guest_now(int32_t monotonic) {
    struct timespec at;
    if (clock_gettime(monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, &at)) return -1;
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

DESK_EXPORT("resolution") int64_t guest_resolution(void) {
    struct timespec at;
    return clock_getres(CLOCK_MONOTONIC, &at) ? -1 : (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

DESK_EXPORT("random") void guest_random(uint32_t n) {
    uint8_t buf[256];
    if (n > sizeof buf || getentropy(buf, n)) desk_fail_text(DESK_FAILED, "getentropy");
    else desk_reply(buf, n);
}

/* Everything that came from outside: variables, arguments, and the bytes of both. */
DESK_EXPORT("surroundings") uint32_t guest_surroundings(void) {
    size_t variables = 99, arguments = 99, bytes = 99, more = 99;
    if (__wasi_environ_sizes_get(&variables, &bytes) || __wasi_args_sizes_get(&arguments, &more)) return 1000;
    return (uint32_t)(variables + arguments + bytes + more) + (getenv("PATH") != NULL);
}

/* Allocates, fills, checks and frees; returns how many blocks held what was written. */
DESK_EXPORT("heap") uint32_t guest_heap(uint32_t count) {
    uint8_t **blocks = calloc(count, sizeof *blocks);
    uint32_t good = 0;
    if (!blocks) return 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t size = 1 + i * 37 % 4096;
        blocks[i] = malloc(size);
        if (blocks[i]) memset(blocks[i], (int)(i & 0xFF), size);
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t size = 1 + i * 37 % 4096;
        good += blocks[i] && blocks[i][0] == (i & 0xFF) && blocks[i][size - 1] == (i & 0xFF);
        free(blocks[i]);
    }
    free(blocks);
    return good;
}

DESK_EXPORT("grab") int32_t guest_grab(uint32_t mebibytes) {
    void *volatile block = malloc((size_t)mebibytes << 20); /* volatile: the compiler may not leave it out */
    bool got = block != NULL;
    free(block);
    return got;
}

DESK_EXPORT("crash") void guest_crash(void) { abort(); }

/* Two stacks can run out: wasm's own, of calls, and the one in memory, of variables whose address is taken. */
static volatile int32_t always = 1;

static int32_t deep(int32_t n) { return always ? deep(n + 1) * always + n : n; }

static int32_t wide(int32_t n) {
    volatile char room[4096];
    room[n & 4095] = (char)n;
    return always ? room[n & 4095] + wide(n + 1) : n;
}

DESK_EXPORT("deep") int32_t guest_deep(void) { return deep(0); }
DESK_EXPORT("wide") int32_t guest_wide(void) { return wide(0); }
