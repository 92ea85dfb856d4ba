/* questions.c - freestanding: what the header offers for asking capabilities, one export for each function. */
#include <desk.h>

enum { CAP = 8192 };

static uint8_t buf[CAP], more[CAP], memory[CAP];
static char name[600];

/* Reads the parameter that says which key, path or setting. */
static const char *named(uint32_t handle, uint32_t len) {
    int32_t got = desk_read_all(handle, len, name, sizeof name - 1);
    name[got < 0 ? 0 : got] = 0;
    return name;
}

DESK_EXPORT("get") void get(uint32_t key, uint32_t len) {
    desk_text value;
    desk_answer a = desk_state_get(named(key, len), buf, sizeof buf, &value);
    desk_writer w = desk_writer_to(more, sizeof more);
    if (desk_failed(&a)) return;
    if (value.ptr) desk_put_bytes(&w, value.ptr, value.len);
    else desk_put_null(&w);
    desk_reply_written(&w);
}

DESK_EXPORT("put") void put(uint32_t key, uint32_t len, uint32_t value, uint32_t n) {
    desk_answer a;
    desk_read_all(value, n, memory, sizeof memory);
    a = desk_state_put(named(key, len), memory, n, buf, sizeof buf);
    desk_failed(&a);
}

DESK_EXPORT("forget") void forget(uint32_t key, uint32_t len) {
    desk_answer a = desk_state_delete(named(key, len), buf, sizeof buf);
    desk_reply_answer(&a);
}

/* Reads a file into so many bytes of a buffer, at most 9 MiB. */
DESK_EXPORT("read") void read_file(uint32_t path, uint32_t len, uint32_t cap) {
    static uint8_t large[9 << 20];
    desk_text data;
    desk_answer a = desk_file_read(named(path, len), large, cap, &data);
    if (!desk_failed(&a)) desk_reply(data.ptr, data.len);
}

DESK_EXPORT("write") void write_file(uint32_t path, uint32_t len, uint32_t data, uint32_t n) {
    desk_answer a;
    desk_read_all(data, n, memory, sizeof memory);
    a = desk_file_write(named(path, len), memory, n, buf, sizeof buf);
    desk_failed(&a);
}

DESK_EXPORT("setting") void setting(uint32_t key, uint32_t len) {
    desk_text text;
    desk_answer a = desk_config_text(named(key, len), buf, sizeof buf, &text);
    if (!desk_failed(&a)) desk_reply(text.ptr, text.len);
}

DESK_EXPORT("list") void list(uint32_t path, uint32_t len) {
    desk_question q = desk_question_in(buf, sizeof buf);
    desk_answer a;
    desk_with_text(&q, "path", named(path, len));
    desk_with_uint(&q, "most", 10);
    a = desk_send(&q, "cap.filesystem.list");
    desk_reply_answer(&a);
}

/* One field of each kind; the capability gives back what it was asked. */
DESK_EXPORT("every_kind") void every_kind(uint64_t count, int64_t change, double part, uint32_t yes) {
    desk_question q = desk_question_in(buf, sizeof buf);
    desk_writer *w;
    desk_answer a;
    desk_with_text(&q, "text", "gr\xC3\xBC\xC3\x9F");
    desk_with_text_n(&q, "cut", "abcdef", 3);
    desk_with_bytes(&q, "raw", "\0\xFF", 2);
    desk_with_bytes(&q, "empty", NULL, 0);
    desk_with_uint(&q, "count", count);
    desk_with_int(&q, "change", change);
    desk_with_float(&q, "part", part);
    desk_with_bool(&q, "yes", yes);
    desk_with_null(&q, "none");
    w = desk_with(&q, "tags");
    desk_put_array(w, 2);
    desk_put_text(w, "a");
    desk_put_text(w, "b");
    a = desk_send(&q, "cap.mirror.look");
    desk_reply_answer(&a);
}

/* A question with so many fields. */
DESK_EXPORT("fields") void fields(uint32_t count) {
    desk_question q = desk_question_in(buf, sizeof buf);
    desk_answer a;
    for (uint32_t i = 0; i < count; i++) {
        char field[3] = {(char)('a' + i / 26), (char)('a' + i % 26), 0};
        desk_with_uint(&q, field, i);
    }
    a = desk_send(&q, "cap.mirror.take");
    desk_failed(&a);
}

/* A question in so many bytes of a buffer, and what stands behind them after it. */
DESK_EXPORT("room") void room(uint32_t cap) {
    desk_question q;
    desk_answer a;
    for (uint32_t i = 0; i < sizeof buf; i++) buf[i] = 0xEE;
    q = desk_question_in(buf, cap);
    desk_with_text(&q, "text", "0123456789");
    a = desk_send(&q, "cap.mirror.take");
    for (uint32_t i = cap; i < sizeof buf; i++)
        if (buf[i] != 0xEE) desk_fail_text(DESK_FAILED, "the header wrote behind the buffer");
    desk_reply_answer(&a);
}

/* The mistake that is easily made: what was read is written from where it lies. */
DESK_EXPORT("copy") void copy(uint32_t from, uint32_t from_len, uint32_t to, uint32_t to_len) {
    desk_text data;
    desk_answer a = desk_file_read(named(from, from_len), buf, sizeof buf, &data);
    if (desk_failed(&a)) return;
    a = desk_file_write(named(to, to_len), data.ptr, data.len, buf, sizeof buf);
    desk_failed(&a);
}

/* The question has memory[1000..1999], the field so many bytes of memory from there on. */
DESK_EXPORT("overlapping") void overlapping(uint32_t from, uint32_t len) {
    desk_question q = desk_question_in(memory + 1000, 1000);
    desk_answer a;
    desk_with_bytes(&q, "raw", memory + from, len);
    a = desk_send(&q, "cap.mirror.take");
    desk_failed(&a);
}

/* Sends one question two times. */
DESK_EXPORT("again") void again(void) {
    desk_question q = desk_question_in(buf, sizeof buf);
    desk_writer w = desk_writer_to(more, sizeof more);
    desk_put_array(&w, 2);
    for (int i = 0; i < 2; i++) desk_put_int(&w, desk_send(&q, "cap.mirror.take").code);
    desk_reply_written(&w);
}
