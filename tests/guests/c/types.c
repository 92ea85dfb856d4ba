/* types.c - freestanding: every type of a manifest, from the host, through C, and back. */
#include <desk.h>

enum { CAP = 256 * 1024 };

static uint8_t in[CAP], out[CAP];

/* Flat types: as they are. */
DESK_EXPORT("bool") bool give_bool(bool v) { return v; }
DESK_EXPORT("i8") int8_t give_i8(int8_t v) { return v; }
DESK_EXPORT("i16") int16_t give_i16(int16_t v) { return v; }
DESK_EXPORT("i32") int32_t give_i32(int32_t v) { return v; }
DESK_EXPORT("i64") int64_t give_i64(int64_t v) { return v; }
DESK_EXPORT("u8") uint8_t give_u8(uint8_t v) { return v; }
DESK_EXPORT("u16") uint16_t give_u16(uint16_t v) { return v; }
DESK_EXPORT("u32") uint32_t give_u32(uint32_t v) { return v; }
DESK_EXPORT("u64") uint64_t give_u64(uint64_t v) { return v; }
DESK_EXPORT("f32") float give_f32(float v) { return v; }
DESK_EXPORT("f64") double give_f64(double v) { return v; }
DESK_EXPORT("char") uint32_t give_char(uint32_t v) { return v; }

/* Payloads of bytes: as they are. */
static void give_bytes(uint32_t handle, uint32_t len) {
    int32_t got = desk_read_all(handle, len, in, sizeof in);
    if (got < 0) desk_fail_text(-got, "the payload could not be read");
    else desk_reply(in, (uint32_t)got);
}

DESK_EXPORT("string") void give_string(uint32_t handle, uint32_t len) { give_bytes(handle, len); }
DESK_EXPORT("bytes") void give_raw(uint32_t handle, uint32_t len) { give_bytes(handle, len); }
DESK_EXPORT("json") void give_json(uint32_t handle, uint32_t len) { give_bytes(handle, len); }

/* Payloads of CBOR: read item by item, and written anew. */
static void copy(desk_reader *r, desk_writer *w) {
    enum desk_kind kind = desk_peek(r);
    int64_t number = 0;
    uint64_t natural = 0;
    uint32_t n = 0;
    double real = 0;
    bool truth = false;
    desk_text text = {"", 0};
    switch (kind) {
    case DESK_INT: {
        desk_reader again = *r;
        if (desk_get_uint(&again, &natural)) {
            *r = again;
            desk_put_uint(w, natural);
        } else if (desk_get_int(r, &number)) {
            desk_put_int(w, number);
        }
        break;
    }
    case DESK_FLOAT:
        desk_get_float(r, &real);
        desk_put_float(w, real);
        break;
    case DESK_BOOL:
        desk_get_bool(r, &truth);
        desk_put_bool(w, truth);
        break;
    case DESK_NULL:
        desk_get_null(r);
        desk_put_null(w);
        break;
    case DESK_TEXT:
        desk_get_text(r, &text);
        if (!desk_text_valid(text)) r->ok = false;
        desk_put_text_n(w, text.ptr, text.len);
        break;
    case DESK_BYTES:
        desk_get_bytes(r, &text);
        desk_put_bytes(w, text.ptr, text.len);
        break;
    case DESK_ARRAY:
        desk_get_array(r, &n);
        desk_put_array(w, n);
        while (n-- && r->ok) copy(r, w);
        break;
    case DESK_MAP:
        desk_get_map(r, &n);
        desk_put_map(w, n);
        for (; n && r->ok; n--) {
            copy(r, w);
            copy(r, w);
        }
        break;
    default: r->ok = false;
    }
}

static void give_cbor(uint32_t handle, uint32_t len) {
    int32_t got = desk_read_all(handle, len, in, sizeof in);
    desk_reader r = desk_reader_of(in, got < 0 ? 0 : (uint32_t)got), skipped = r;
    desk_writer w = desk_writer_to(out, sizeof out);
    copy(&r, &w);
    if (desk_finished(&r) && desk_skip(&skipped) && desk_finished(&skipped)) desk_reply_written(&w);
    else desk_fail_text(DESK_INTERNAL, "this is not one item of CBOR");
}

DESK_EXPORT("any") void give_any(uint32_t handle, uint32_t len) { give_cbor(handle, len); }
DESK_EXPORT("list") void give_list(uint32_t handle, uint32_t len) { give_cbor(handle, len); }
DESK_EXPORT("option") void give_option(uint32_t handle, uint32_t len) { give_cbor(handle, len); }
DESK_EXPORT("tuple") void give_tuple(uint32_t handle, uint32_t len) { give_cbor(handle, len); }
DESK_EXPORT("record") void give_record(uint32_t handle, uint32_t len) { give_cbor(handle, len); }

/* All at once, each as C sees it: told as CBOR, so that nothing can pass unseen. */
DESK_EXPORT("seen")
void seen(bool truth, int8_t a, int16_t b, int32_t c, int64_t d, uint8_t e, uint16_t f, uint32_t g, uint64_t h, float i,
          double j, uint32_t letter, uint32_t text, uint32_t text_len) {
    desk_writer w = desk_writer_to(out, sizeof out);
    int32_t got = desk_read_all(text, text_len, in, sizeof in);
    desk_put_array(&w, 13);
    desk_put_bool(&w, truth);
    desk_put_int(&w, a);
    desk_put_int(&w, b);
    desk_put_int(&w, c);
    desk_put_int(&w, d);
    desk_put_uint(&w, e);
    desk_put_uint(&w, f);
    desk_put_uint(&w, g);
    desk_put_uint(&w, h);
    desk_put_float(&w, (double)i);
    desk_put_float(&w, j);
    desk_put_uint(&w, letter);
    desk_put_text_n(&w, (const char *)in, got < 0 ? 0 : (uint32_t)got);
    desk_reply_written(&w);
}

/* A flat result that is none of its type: what the compiler cannot prevent, the host notices. */
DESK_EXPORT("wrong_bool") uint32_t wrong_bool(void) { return 2; }
DESK_EXPORT("wrong_u8") uint32_t wrong_u8(void) { return 256; }
DESK_EXPORT("wrong_i8") int32_t wrong_i8(void) { return 128; }
DESK_EXPORT("wrong_char") uint32_t wrong_char(void) { return 0xD800; }
