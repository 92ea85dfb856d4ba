/* An extension that uses a capability of the app's own, `notes`: see ../custom_capability.py. It asks for it as for any other. */
#include "desk.h"

static uint8_t topic[64], line[512], question[1024], answer[8192];

/* Sends {topic: ...} (and line: ..., if there is one) to a capability. If that went wrong, this call has failed with the reason. */
static desk_answer ask(const char *capability, uint32_t topic_len, int32_t line_len) {
    desk_writer w = desk_writer_to(question, sizeof question);
    desk_answer a;
    desk_put_map(&w, line_len < 0 ? 1 : 2);
    desk_put_text(&w, "topic");
    desk_put_text_n(&w, (const char *)topic, topic_len);
    if (line_len >= 0) {
        desk_put_text(&w, "line");
        desk_put_text_n(&w, (const char *)line, (uint32_t)line_len);
    }
    a = desk_ask(capability, w.buf, w.len, answer, sizeof answer);
    if (a.code) desk_fail(a.code, a.message.ptr, a.message.len);
    return a;
}

static bool fetched(uint32_t handle, uint32_t len, void *to, uint32_t cap) {
    if (desk_read_all(handle, len, to, cap) >= 0) return true;
    desk_fail_text(DESK_INVALID, "a topic has at most 64 bytes, a line 512");
    return false;
}

DESK_EXPORT("lines") void lines(uint32_t topic_handle, uint32_t topic_len) {
    desk_answer a;
    if (!fetched(topic_handle, topic_len, topic, sizeof topic)) return;
    a = ask("cap.notes.find", topic_len, -1);
    if (!a.code) desk_reply(a.value.at, (uint32_t)(a.value.end - a.value.at)); /* the list as it came */
}

DESK_EXPORT("write") void write_down(uint32_t topic_handle, uint32_t topic_len, uint32_t line_handle, uint32_t line_len) {
    if (!fetched(topic_handle, topic_len, topic, sizeof topic) || !fetched(line_handle, line_len, line, sizeof line)) return;
    ask("cap.notes.add", topic_len, (int32_t)line_len);
}
