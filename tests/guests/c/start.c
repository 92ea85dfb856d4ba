/* start.c - what happens before the first call: constructors, where only `log` works, then desk_start, where all does. */
#include <desk.h>

enum { EARLY = 5 };

static int32_t constructed, started, early[EARLY], start_code = -1, start_status, start_receivers;
static uint8_t buf[4096];

/* The low half of a pair without handle, which is a code; -1000 for a pair that has one. */
static int32_t code_of(uint64_t pair) { return DESK_HANDLE(pair) ? -1000 : (int32_t)DESK_LENGTH(pair); }

__attribute__((constructor)) static void construct(void) {
    constructed++;
    desk_log_text(DESK_WARN, "constructing");
    early[0] = code_of(desk_request("cap.network.http", 16, "\xA0", 1));
    early[1] = desk_publish("start.hello", 11, "\x01", 1);
    early[2] = desk_read(1, 0, buf, sizeof buf);
    early[3] = code_of(desk_context());
    desk_drop(1);
    desk_reply("ignored", 7);
    desk_fail_text(DESK_FAILED, "ignored");
    early[4] = desk_ask("cap.network.http", "\xA0", 1, buf, sizeof buf).code;
}

DESK_EXPORT("desk_start") void start(void) {
    desk_http http = desk_http_get("http://start.example/", buf, sizeof buf);
    started++;
    start_code = http.code;
    start_status = http.status;
    start_receivers = desk_publish("start.hello", 11, "\x01", 1);
}

/* What the constructor was answered. */
DESK_EXPORT("early") void give_early(void) {
    desk_writer w = desk_writer_to(buf, sizeof buf);
    desk_put_array(&w, EARLY);
    for (int i = 0; i < EARLY; i++) desk_put_int(&w, early[i]);
    desk_reply_written(&w);
}

/* How often the constructor and desk_start ran, and what desk_start was answered. */
DESK_EXPORT("story") void give_story(void) {
    int32_t numbers[] = {constructed, started, start_code, start_status, start_receivers};
    desk_writer w = desk_writer_to(buf, sizeof buf);
    desk_put_array(&w, 5);
    for (int i = 0; i < 5; i++) desk_put_int(&w, numbers[i]);
    desk_reply_written(&w);
}

DESK_EXPORT("crash") void crash(void) { __builtin_trap(); }
