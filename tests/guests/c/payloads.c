/* payloads.c - freestanding: reading and dropping payloads, context, asking others, and the limits of all that. */
#include <desk.h>

enum { CAP = 96 * 1024 };

static uint8_t in[CAP], out[CAP];

static desk_writer writer(void) { return desk_writer_to(out, sizeof out); }

/* Reads a payload `step` bytes at a time, and replies with what it has put together. */
DESK_EXPORT("chunks") void chunks(uint32_t step, uint32_t handle, uint32_t len) {
    uint32_t done = 0;
    int32_t got = 0;
    while (done <= len && (got = desk_read(handle, done, in + done, step)) > 0) done += (uint32_t)got;
    if (got < 0) desk_fail_text(-got, "read");
    else desk_reply(in, done);
}

/* What `read` and `drop` answer where there is nothing to read. */
DESK_EXPORT("edges") void edges(uint32_t handle, uint32_t len) {
    desk_writer w = writer();
    int32_t answers[] = {
        desk_read(handle, 0, in, CAP),
        desk_read(handle, len - 1, in, CAP),
        desk_read(handle, len, in, CAP),
        desk_read(handle, len + 1, in, CAP),
        desk_read(handle, UINT32_MAX, in, CAP),
        desk_read(handle, 0, in, 0),
        desk_read(0, 0, in, CAP),
        desk_read(handle + 1, 0, in, CAP),
        desk_read(UINT32_MAX, 0, in, CAP),
        0,
    };
    desk_drop(handle + 1);
    desk_drop(handle);
    desk_drop(handle);
    answers[9] = desk_read(handle, 0, in, CAP);
    desk_put_array(&w, 10);
    for (int i = 0; i < 10; i++) desk_put_int(&w, answers[i]);
    desk_reply_written(&w);
}

DESK_EXPORT("about") void about(void) {
    uint64_t pair = desk_context();
    int32_t got = desk_read_all(DESK_HANDLE(pair), DESK_LENGTH(pair), in, sizeof in);
    if (got < 0) desk_fail_text(-got, "context");
    else desk_reply(in, (uint32_t)got);
}

/* Asks for as many payloads as it is told to hold at one time; how many it got, and what the last answer was. */
DESK_EXPORT("hold") void hold(uint32_t wanted, uint32_t dropping) {
    desk_writer w = writer();
    uint32_t held = 0, code = 0;
    for (; held < wanted; held++) {
        uint64_t pair = desk_context();
        if (!DESK_HANDLE(pair)) {
            code = DESK_LENGTH(pair);
            break;
        }
        if (dropping) desk_drop(DESK_HANDLE(pair));
    }
    desk_put_array(&w, 2);
    desk_put_uint(&w, held);
    desk_put_uint(&w, code);
    desk_reply_written(&w);
}

/* Asks somebody twice, with a payload of CBOR that it was given, while it holds `held` payloads. */
DESK_EXPORT("ask_holding") int32_t ask_holding(uint32_t held, uint32_t subject, uint32_t len, uint32_t handle, uint32_t n) {
    uint64_t pair;
    desk_read_all(subject, len, out, sizeof out);
    desk_read_all(handle, n, in, sizeof in);
    desk_drop(subject);
    desk_drop(handle);
    while (held--) desk_context();
    pair = desk_request((const char *)out, len, in, n);
    return DESK_HANDLE(pair) ? 0 : (int32_t)DESK_LENGTH(pair);
}

/* Sends a byte string of so many bytes: to somebody, and to everyone. The codes of both. */
DESK_EXPORT("send") void send(uint32_t size) {
    desk_writer w = writer();
    int32_t codes[2];
    desk_put_bytes(&w, in, size);
    codes[0] = desk_ask("ext.nobody.nothing", w.buf, w.len, in, sizeof in).code;
    codes[1] = desk_publish("somewhere", 9, w.buf, w.len);
    w = writer();
    desk_put_array(&w, 2);
    desk_put_int(&w, codes[0]);
    desk_put_int(&w, codes[1]);
    desk_reply_written(&w);
}

/* Lets `calculator.add` add two numbers; when that is answered with an error, says so in words. */
DESK_EXPORT("sum") void sum(int32_t a, int32_t b) {
    desk_writer w = writer();
    desk_answer answer;
    int64_t total = 0;
    desk_put_array(&w, 2);
    desk_put_int(&w, a);
    desk_put_int(&w, b);
    answer = desk_ask("ext.calculator.add", w.buf, w.len, in, sizeof in);
    w = writer();
    desk_put_map(&w, 3);
    desk_put_text(&w, "code");
    desk_put_int(&w, answer.code);
    desk_put_text(&w, "total");
    if (answer.code == 0 && desk_get_int(&answer.value, &total)) desk_put_int(&w, total);
    else desk_put_null(&w);
    desk_put_text(&w, "message");
    desk_put_text_n(&w, answer.message.ptr, answer.message.len);
    desk_reply_written(&w);
}

DESK_EXPORT("fetch") void fetch(uint32_t handle, uint32_t len) {
    static char url[1024];
    desk_writer w = writer();
    int32_t got = desk_read_all(handle, len, url, sizeof url - 1);
    desk_http http;
    if (got < 0) {
        desk_fail_text(-got, "the address is too long");
        return;
    }
    url[got] = 0;
    http = desk_http_get(url, in, sizeof in);
    desk_put_map(&w, 4);
    desk_put_text(&w, "code");
    desk_put_int(&w, http.code);
    desk_put_text(&w, "message");
    desk_put_text_n(&w, http.message.ptr, http.message.len);
    desk_put_text(&w, "status");
    desk_put_int(&w, http.status);
    desk_put_text(&w, "body");
    desk_put_bytes(&w, http.body.ptr, http.body.len);
    desk_reply_written(&w);
}

/* Two answers at once, from an arena; the first still reads well after the second came. */
DESK_EXPORT("both") void both(uint32_t first, uint32_t first_len, uint32_t second, uint32_t second_len) {
    static uint8_t memory[4096];
    desk_arena arena = {memory, sizeof memory, 0};
    char *a = desk_alloc_read(&arena, first, first_len), *b = desk_alloc_read(&arena, second, second_len);
    desk_writer w = writer();
    if (!a || !b) {
        desk_fail_text(DESK_TOO_LARGE, "the arena is full");
        return;
    }
    desk_put_raw_(&w, a, desk_strlen(a));
    desk_put_raw_(&w, b, desk_strlen(b));
    desk_reply_written(&w);
}
