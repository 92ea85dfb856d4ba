/* An extension that uses a capability of the app's own, `notes`: see ../custom_capability.py. It asks for it as for any other. */
#include "desk.h"

static uint8_t buf[8192]; /* questions, and the answers to them */

/* Reads a parameter, and makes it a field. False if it is too long: this call has failed then. */
static bool with_parameter(desk_question *q, const char *name, uint32_t handle, uint32_t len) {
    char text[512];
    bool fits = desk_read_all(handle, len, text, sizeof text) >= 0;
    if (fits) desk_with_text_n(q, name, text, len);
    else desk_fail_text(DESK_INVALID, "a topic or a line has at most 512 bytes");
    return fits;
}

DESK_EXPORT("lines") void lines(uint32_t topic, uint32_t topic_len) {
    desk_question q = desk_question_in(buf, sizeof buf);
    desk_answer a;
    if (!with_parameter(&q, "topic", topic, topic_len)) return;
    a = desk_send(&q, "cap.notes.find");
    desk_reply_answer(&a); /* the list as it came, or why there is none */
}

DESK_EXPORT("write") void write_down(uint32_t topic, uint32_t topic_len, uint32_t line, uint32_t line_len) {
    desk_question q = desk_question_in(buf, sizeof buf);
    desk_answer a;
    if (!with_parameter(&q, "topic", topic, topic_len) || !with_parameter(&q, "line", line, line_len)) return;
    a = desk_send(&q, "cap.notes.add");
    desk_failed(&a);
}
