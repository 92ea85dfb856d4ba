/* json.h - reads one flat JSON object (RFC 8259): enough for settings and for a forecast. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

enum { JSON_TEXT = 65 }; /* texts are at most 64 bytes of UTF-8, and a NUL */

typedef enum { JSON_STRING, JSON_NUMBER, JSON_OTHER } json_kind;

typedef struct {
    char key[JSON_TEXT];
    json_kind kind;
    char text[JSON_TEXT]; /* of a string */
    double number;        /* of a number */
} json_member;

typedef struct {
    const char *at, *end;
    bool started, done;
} json_object;

json_object json_read(const char *text, uint32_t len);
/* The next member. False at the end of the object, where `done` becomes true, and where it is malformed: stop there. */
bool json_next(json_object *object, json_member *member);

#endif
